"""
One training in several processes
=================================

The same script trains in one process, on all GPUs of a machine, or on a cluster.

Usage: [mpiexec -n 4] python examples/train_many.py [EPOCHS]
"""

import sys

import nnfs_xp as nn

group = nn.distributed.group()  # this process alone, or those that mpiexec or srun started
X, y, X_test, y_test = nn.data.load_digits()

model = nn.Sequential(
    nn.Dense(64, 128),
    nn.BatchNorm(128),  # over the rows of all processes
    nn.ReLU(),
    nn.Dropout(0.2),  # the same neurons as in one process
    nn.Dense(128, 10),
    seed=0,
)
trainer = nn.Trainer(
    model, nn.SoftmaxCategoricalCrossentropy(), nn.Adam(0.003), backend="auto", group=group
)
epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 10

# 128 samples in all, of which each process takes its part. Rank 0 keeps the checkpoints; a training
# that was cut goes on with more processes, or with fewer.
trainer.fit(X, y, epochs=epochs, batch_size=128, checkpoint="runs/many", resume=True)

figures = trainer.evaluate(X_test, y_test)  # asked for by all, and told by one
if group.rank == 0:
    print(f"{group.size} processes, test accuracy {figures['accuracy']:.4f}")
    nn.save(model, "digits.safetensors")
