"""Training and sampling, with TRL, transformers and vLLM; this room and the stages that use it need torch."""
