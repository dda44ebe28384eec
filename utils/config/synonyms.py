"""What other programs call an option or a value: suggested where such a name is not known here."""

from __future__ import annotations

# other name -> options; a name is looked up in lower case with _ for -
FLAGS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("criterion", "objective", "loss_type", "loss_fn"), ("training_type", "name_file_bs")),
    **dict.fromkeys(("arch", "architecture", "network", "net", "backbone"), ("resnet_type",)),
    **dict.fromkeys(("data", "data_set"), ("dataset_name",)),
    **dict.fromkeys(("data_dir", "data_path", "data_folder", "root", "datadir"), ("data_root",)),
    **dict.fromkeys(("batchsize", "batch", "bs", "train_batch_size"), ("bsize",)),
    **dict.fromkeys(("epoch", "n_epochs", "max_epochs", "num_train_epochs"), ("num_epochs",)),
    **dict.fromkeys(("gpu", "gpus", "gpu_id", "cuda", "cpu", "accelerator", "no_cuda"), ("device",)),
    **dict.fromkeys(("learning_rate", "base_lr", "initial_lr", "eta"), ("lr",)),
    **dict.fromkeys(("weight_decay", "wd", "l2"), ("weight_dec",)),
    **dict.fromkeys(("optim", "opt"), ("optimizer",)),
    **dict.fromkeys(("seed", "random_seed", "random_state", "manual_seed", "n_seeds", "num_seeds"), ("seeds",)),
    **dict.fromkeys(("ratio", "imbalance_ratio", "imb_ratio", "imratio"), ("ratio_pos_train",)),
    **dict.fromkeys(("imb_factor", "cifar_imb_ratio"), ("imbalance_factor",)),
    **dict.fromkeys(("imb_type", "long_tail", "longtail", "lt"), ("imbalance",)),
    **dict.fromkeys(("num_classes", "n_classes", "multiclass", "class_names"), ("classes", "task")),
    **dict.fromkeys(("monitor", "metric", "best_metric", "model_selection"), ("select",)),
    **dict.fromkeys(("pos_classes", "positive_class", "target_class", "pos_label"), ("positive_classes",)),
    **dict.fromkeys(("neg_classes", "negative_class"), ("negative_classes",)),
    **dict.fromkeys(("val_split", "val_fraction", "val_ratio", "valid_size"), ("validation_fraction",)),
    **dict.fromkeys(("n_splits", "cv", "kfold", "k_folds", "n_folds", "num_folds"), ("folds",)),
    **dict.fromkeys(("augmentation", "transform", "transforms", "data_augmentation"), ("augment",)),
    **dict.fromkeys(("oversample", "undersample", "smote", "sampling", "weighted_sampler"), ("sampler",)),
    **dict.fromkeys(("scheduler", "lr_scheduler", "lr_schedule", "lr_decay"), ("schedule", "lr_decrease")),
    **dict.fromkeys(("warmup", "warmup_epochs", "warm_up_epochs", "lr_warmup_epochs"), ("warm_up",)),
    **dict.fromkeys(("ema_decay", "model_ema", "use_ema", "swa", "weight_average"), ("ema",)),
    **dict.fromkeys(("milestones", "lr_milestones", "step_size", "decay_epochs"), ("lr_steps",)),
    **dict.fromkeys(("lr_gamma", "decay_rate", "lr_decay_rate"), ("lr_factor",)),
    **dict.fromkeys(("patience", "early_stopping", "early_stop"), ("patience_early_stopping",)),
    **dict.fromkeys(("eval", "evaluate", "test", "test_only", "eval_only"), ("train",)),
    **dict.fromkeys(("checkpoint", "ckpt", "resume_from", "load"), ("resume", "train")),
    **dict.fromkeys(("finetune", "fine_tune"), ("weights", "freeze_epochs", "continue_train")),
    **dict.fromkeys(("pretrained", "pretrain", "imagenet", "init_from", "pretrained_path", "init"), ("weights",)),
    **dict.fromkeys(("freeze", "frozen", "freeze_backbone", "linear_probe"), ("freeze_epochs",)),
    **dict.fromkeys(("img_size", "input_size", "resize", "crop_size", "resolution"), ("image_size",)),
    **dict.fromkeys(("normalization", "normalize", "normalise", "norm", "mean", "std"), ("normalisation",)),
    **dict.fromkeys(("output_dir", "out_dir", "output", "save_dir", "log_dir", "logdir"), ("checkpoint_root",)),
    **dict.fromkeys(("name", "run_name", "exp_name", "experiment", "experiment_name"), ("model_name",)),
    **dict.fromkeys(("config", "cfg", "config_file"), ("name_file_bs", "name_file_alm")),
    **dict.fromkeys(("alm", "constrained", "lagrangian"), ("use_ALM", "name_file_alm")),
    **dict.fromkeys(("amp", "fp16", "bf16", "half", "mixed_precision", "autocast"), ("precision",)),
    **dict.fromkeys(("margin",), ("m", "delta")),
    **dict.fromkeys(("pos_weight", "class_weight", "class_weights"), ("c", "training_type")),
    **dict.fromkeys(("hidden", "hidden_size", "hidden_sizes", "layers", "hidden_layers"), ("hidden_widths",)),
    **dict.fromkeys(("n_jobs", "jobs", "processes", "parallel"), ("parallel_seeds",)),
    **dict.fromkeys(("num_threads", "n_threads"), ("threads",)),
}
# other name -> why there is no such option
ABSENT: dict[str, str] = {
    **dict.fromkeys(
        ("num_workers", "workers", "n_workers"),
        "images are in memory or read ahead by one thread, no worker loads them; see --images, --parallel_seeds",
    ),
    **dict.fromkeys(
        ("threshold", "cutoff"),
        "thresholds are chosen on the validation set, see --tpr, --fpr and --cost_ratio",
    ),
}
_RESNETS = ("resnet10", "resnet18", "resnet20")
# option -> other name -> values
VALUES: dict[str, dict[str, tuple[str, ...]]] = {
    "training_type": {
        **dict.fromkeys(("focal", "focal_loss", "fl"), ("ALPHA_FL", "SYM_FL", "ASYM_FL")),
        **dict.fromkeys(("ce", "cross_entropy", "crossentropy", "log_loss", "logistic", "bce_loss"), ("BCE", "WCE")),
        **dict.fromkeys(("bcewithlogits", "bcewithlogitsloss", "binary_cross_entropy"), ("BCE",)),
        **dict.fromkeys(("weighted_bce", "weighted", "pos_weight"), ("WBCE", "WCE")),
        **dict.fromkeys(("auc", "auc_margin", "aucm_loss", "aucmloss"), ("AUCM", "PAUC", "MBAUC")),
        **dict.fromkeys(("partial_auc", "pauc_loss"), ("PAUC",)),
        **dict.fromkeys(("class_balanced", "cb", "cb_loss", "effective_number"), ("cb_BCE", "cb_FL")),
        **dict.fromkeys(("logit_adjustment", "logit_adjusted", "balanced_softmax"), ("LA", "VS")),
        **dict.fromkeys(("vector_scaling", "vs_loss"), ("VS",)),
        **dict.fromkeys(("margin", "large_margin"), ("SYM_LM", "ASYM_LM")),
        **dict.fromkeys(("pairwise", "ranking", "rank"), ("LOG_PW", "SQ_HINGE_PW", "SQUARE_PW")),
        **dict.fromkeys(("f1", "f1_loss", "fbeta", "dice", "g_mean"), ("ANYLOSS",)),
        **dict.fromkeys(("svm",), ("HINGE", "SQ_HINGE")),
    },
    "name_file_bs": {
        **dict.fromkeys(("bce", "ce", "cross_entropy", "baseline"), ("baseline_bce",)),
        **dict.fromkeys(("focal", "focal_loss"), ("baseline_alpha_FL", "baseline_s_FL_g2", "baseline_a_FL_g2")),
        **dict.fromkeys(("ldam",), ("baseline_LDAM", "baseline_LDAM_DRW")),
        **dict.fromkeys(("wbce", "weighted_bce"), ("baseline_WBCE_1",)),
        **dict.fromkeys(("auc", "aucm"), ("baseline_AUCM",)),
        **dict.fromkeys(("smote",), ("bce_smote",)),
    },
    "sampler": {
        **dict.fromkeys(("random", "none", "default", "uniform", "shuffle", "imbalanced"), ("natural",)),
        **dict.fromkeys(("ros", "over", "oversampling", "random_oversampler"), ("oversample",)),
        **dict.fromkeys(("rus", "under", "undersampling", "random_undersampler"), ("undersample",)),
        **dict.fromkeys(("weightedrandomsampler", "weighted_random"), ("weighted",)),
        **dict.fromkeys(("class_balanced", "dual", "dualsampler"), ("balanced", "balanced_random")),
    },
    "resnet_type": {
        **dict.fromkeys(("resnet", "resnet50", "resnet101", "efficientnet", "vit", "densenet"), _RESNETS),
        **dict.fromkeys(("cnn", "lenet", "lenet_5", "convnet"), ("lenet5",)),
        **dict.fromkeys(("mlp", "fc", "fully_connected", "fcn"), ("dense",)),
        **dict.fromkeys(("logistic_regression", "lr", "softmax"), ("linear",)),
    },
}
