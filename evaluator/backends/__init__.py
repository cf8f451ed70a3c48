"""What generates the answers: transformers, vLLM, or a running endpoint, each as an lm-eval language model."""
