"""What other tools call our settings: a name that a user brings along is answered with ours rather than with the likest.

From transformers' `TrainingArguments` and its example scripts, peft's configs, AutoTrain, LLaMA-Factory and Ludwig.
"""

from __future__ import annotations

from collections.abc import Iterable

from .errors import nearest

OURS: dict[str, str] = {
    "model": "model_name_or_path model_name base_model model_id pretrained_model_name_or_path",
    "runs": "output_dir output_directory project_name save_dir logging_dir",
    "strategy": "finetuning_type use_peft peft adapter peft_type use_dora",
    "data.train": "train_file training_set train_data data_path dataset dataset_name train_split",
    "data.validation": "validation_file validation_set valid_file valid_data eval_file eval_dataset valid_split",
    "data.test": "test_file test_set test_data test_dataset",
    "data.test_share": "test_size test_split test_fraction",
    "data.validation_share": "val_size valid_size validation_size validation_split validation_fraction eval_size",
    "data.limit": "max_train_samples max_samples sample_size",
    "train.epochs": "num_train_epochs num_epochs n_epochs max_epochs max_steps epochs",
    "train.lr": "learning_rate base_learning_rate lr",
    "train.batch": "per_device_train_batch_size train_batch_size batch_size effective_batch_size gradient_accumulation_steps "
    "gradient_accumulation",
    "train.micro_tokens": "auto_find_batch_size",
    "train.optimizer": "optim optimizer_type optimizer",
    "train.schedule": "lr_scheduler_type lr_scheduler scheduler learning_rate_scheduler",
    "train.warmup": "warmup_ratio warmup_steps num_warmup_steps warmup_fraction",
    "train.weight_decay": "weight_decay",
    "train.clip": "max_grad_norm gradient_clipping clip_grad_norm",
    "train.dropout": "hidden_dropout_prob hidden_dropout classifier_dropout",
    "train.ema": "ema_decay use_ema",
    "train.balance": "class_weights class_weight",
    "train.patience": "early_stopping_patience early_stop early_stopping",
    "train.evaluations": "eval_steps eval_strategy evaluation_strategy steps_per_checkpoint",
    "train.seed": "seed random_seed random_state data_seed",
    "train.device": "use_cpu no_cuda use_cuda device_map",
    "train.precision": "bf16 fp16 mixed_precision torch_dtype dtype",
    "train.processes": "num_processes nproc_per_node num_gpus",
    "train.quantise": "load_in_8bit load_in_4bit quantization quantization_bit",
    "train.packing": "use_packing sample_packing",
    "train.compile": "torch_compile use_compile",
    "train.gradient_checkpointing": "gradient_checkpointing",
    "train.save_every": "save_steps save_strategy checkpointing_steps",
    "evaluate.metric": "metric_for_best_model validation_metric eval_metric",
    "options.text": "text_column text_column_name sentence_column dataset_text_field input_column",
    "options.label": "label_column label_column_name target_column output_column",
    "options.image": "image_column image_column_name",
    "options.audio": "audio_column audio_column_name",
    "options.question": "question_column question_column_name",
    "options.context": "context_column context_column_name",
    "options.max_tokens": "max_seq_length max_seq_len max_length cutoff_len model_max_length max_sequence_length block_size",
    "options.smoothing": "label_smoothing_factor",
    "options.beams": "num_beams",
    "options.beta": "dpo_beta pref_beta",
    "options.source_language": "source_lang src_lang",
    "options.target_language": "target_lang tgt_lang",
    "strategy_options.rank": "lora_r lora_rank r",
    "strategy_options.alpha": "lora_alpha",
    "strategy_options.dropout": "lora_dropout",
    "strategy_options.targets": "target_modules lora_target lora_target_modules",
    "strategy_options.variant": "use_rslora",
    "strategy_options.tokens": "num_virtual_tokens",
}
"""Path of a setting -> names of it elsewhere, with spaces between."""
UNLIKE: dict[str, str] = {
    "runs": "a folder in which each run makes its own",
    "strategy": "a name such as lora or full",
    "data.test_share": "a share of the rows",
    "data.validation_share": "a share of the rows",
    "train.epochs": "passes over the rows; `train.budget` bounds the time",
    "train.batch": "rows of a whole step; it is cut into passes as memory asks, with the same result",
    "train.micro_tokens": "most tokens of a pass, halved by itself when memory runs out",
    "train.warmup": "a share of the steps",
    "train.balance": "weights, oversample or undersample",
    "train.patience": "in validations",
    "train.evaluations": "validations per epoch",
    "train.device": "cpu or cuda",
    "train.precision": "fp32 or bf16",
    "train.quantise": "8bit or 4bit",
    "train.save_every": "in optimiser steps",
    "options.label": "in some tasks options.labels, options.target or options.tags",
    "strategy_options.variant": "plain, rslora, dora or pissa",
}
"""Path of a setting -> how it differs from what the others mean, where it does."""
_PATHS = {name: path for path, names in OURS.items() for name in names.split()}


def ours(name: str) -> str:
    """The path of the setting that other tools call so (`--learning-rate`: `train.lr`); empty where none does."""
    return _PATHS.get(name.rpartition(".")[2].lstrip("-").replace("-", "_").lower(), "")


def suggestion(name: str, names: Iterable[str]) -> str:
    """What to write for a name that is no setting: ours where another tool calls it so, else the likest of `names`."""
    path = ours(name)
    return f"it is {path!r} here" + (f" ({UNLIKE[path]})" if path in UNLIKE else "") if path else nearest(name, names)
