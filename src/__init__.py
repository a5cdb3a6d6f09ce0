"""Local, trainable audio-visual lip-sync: measure, train, score and correct talking-head video."""

import os

__version__ = "0.1.0"

# Read when torch is imported. OpenMP's threads spin while they wait for each other; by default so
# long that another busy program makes a training step five times as slow. On free cores this
# costs nothing (measured on 2 cores: 2,690 frames/s against 2,660).
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

# Read when onnxruntime is imported. Newer releases (1.31 does) report their use to their maker over
# the network, and leave files for that in the temporary folder and in ~/.cache. Here nothing is
# reported to anybody.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
