"""HumanEval's task files. lm-eval's own run generated code inside the evaluator when they are imported; these only generate."""
