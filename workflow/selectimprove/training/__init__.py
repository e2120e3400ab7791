"""Training and sampling, with TRL, transformers and vLLM; the only room that needs torch, beside the stages that use it."""
