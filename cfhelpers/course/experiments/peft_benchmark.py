"""What peft's own comparison of methods says, for the figure beside ours.

Source: repository huggingface/peft, folder ``method_comparison/MetaMathQA/results``, state of 2026-08-21.
Llama-3.2-3B, 5,000 steps on MetaMathQA, one seed each.
"""

PEFT_BENCHMARK = tuple(
    {"method": method, "accuracy": accuracy, "loss_rise": loss_rise, "parameters": parameters}
    for method, accuracy, loss_rise, parameters in (
        ("LoRA r 10, MLP", 0.494, 0.032, 9.5e6),
        ("LoRA r 32, q and v", 0.478, 0.050, 9.2e6),
        ("rsLoRA r 64", 0.513, 0.111, 18.4e6),
        ("SHiRA", 0.510, 0.052, 9.2e6),
        ("DoRA r 32", 0.469, 0.051, 9.3e6),
        ("Lily r 140, MLP", 0.526, 0.216, 9.5e6),
        ("OSF r 128", 0.427, 0.017, 195e6),
        ("IA³", 0.455, 0.314, 0.6e6),
        ("prompt tuning", 0.057, 0.742, 0.6e6),
        ("prefix tuning", 0.186, 1.785, 11e6),
        ("full fine-tuning", 0.472, 0.030, 3.2e9),
    )
)
"""``accuracy`` on the test questions, ``loss_rise`` of the mean token loss on a fixed Wikipedia sample in nats,
``parameters`` trained."""
