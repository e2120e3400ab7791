"""Estimates of memory against models that are built, and their refusals."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import Qwen2Config, Qwen2ForCausalLM

from conftest import ROOT
from selectimprove.config.demands.memory import count_adapter_parameters, count_parameters, too_large, training_memory
from selectimprove.config.loading import load_params
from selectimprove.config.params import Lora, Model
from selectimprove.config.resolving import Case

MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
QWEN = load_params(ROOT / "params.yaml", {"scale": "paper"})


def build(model: Model) -> Qwen2ForCausalLM:
    with torch.device("meta"):
        return Qwen2ForCausalLM(
            Qwen2Config(
                vocab_size=model.vocab_size,
                hidden_size=model.hidden_size,
                intermediate_size=model.intermediate_size,
                num_hidden_layers=model.n_layers,
                num_attention_heads=model.n_heads,
                num_key_value_heads=model.n_kv_heads,
                tie_word_embeddings=True,
            )
        )


@pytest.mark.parametrize("n_kv_heads", [1, 2, 4])
def test_parameters_are_counted_as_they_are_built(n_kv_heads):
    model = QWEN.model.model_copy(
        update={"hidden_size": 64, "n_heads": 4, "n_kv_heads": n_kv_heads, "intermediate_size": 96, "vocab_size": 300}
    )
    assert count_parameters(model) == build(model).num_parameters()


@pytest.mark.parametrize("modules", [MODULES, ["q_proj", "v_proj"], ["down_proj"]])
def test_adapters_are_counted_as_they_are_built(modules):
    lora = Lora(rank=8, alpha=16, dropout=0.0, target_modules=modules)
    adapted = get_peft_model(build(QWEN.model), LoraConfig(r=8, target_modules=modules))
    assert count_adapter_parameters(QWEN.model, lora) == adapted.get_nb_trainable_parameters()[0]


def test_qwen_has_as_many_parameters_as_its_name_says():
    assert 1.5e9 < count_parameters(QWEN.model) < 1.6e9


def test_memory_grows_with_all_that_is_kept():
    least = training_memory(QWEN.model, QWEN.lora, 1, 100, reference=False)
    assert training_memory(QWEN.model, QWEN.lora, 2, 100, reference=False) > least
    assert training_memory(QWEN.model, QWEN.lora, 1, 200, reference=False) > least
    assert training_memory(QWEN.model, QWEN.lora, 1, 100, reference=True) > least
    assert training_memory(QWEN.model, None, 1, 100, reference=False) > least


def test_the_paper_fits_a_gpu_of_80_gib_and_not_one_of_24():
    case = Case(QWEN, "chains")
    names = list(case.section.rl_problems)
    assert too_large(case, names, 80) == []
    found = too_large(case, names, 24)
    assert found[-1].startswith("rl.device_batch_size: 16 sequences of 470 tokens need about")
    assert "a GPU of 24 GiB has 17 beside the 7 GiB of vLLM; use a smaller one" in found[-1]
