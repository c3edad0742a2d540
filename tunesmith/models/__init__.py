from ..floors import require

require("torch", "transformers", "safetensors", "peft")
