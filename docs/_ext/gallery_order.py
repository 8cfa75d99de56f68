"""The order of the examples in the gallery: the order of learning."""

ORDER = [
    "chapter09_backpropagation.py",
    "convolution_by_hand.py",
    "plot_spiral.py",
    "plot_vanishing_gradients.py",
    "plot_dropout.py",
    "plot_schedules.py",
    "plot_weights.py",
    "plot_mistakes.py",
    "plot_saliency.py",
    "plot_filters.py",
    "plot_autoencoder.py",
    "plot_gan.py",
    "plot_classifier.py",
    "plot_table.py",
    "tune_with_halving.py",
    "tune_with_optuna.py",
    "custom_layer.py",
    "fine_tuning.py",
    "train_mnist.py",
    "train_cifar10.py",
    "cifar10_94_percent.py",
    "train_many.py",
    "dropout_paper.py",
]


class Order:
    """The key that sphinx-gallery sorts by; an example that is not in `ORDER` is an error."""

    def __init__(self, folder):
        del folder

    def __call__(self, name):
        """The example's place."""
        return ORDER.index(name)
