from ..floors import require

require("torch", "accelerate")
