"""Local, trainable audio-visual lip-sync: measure, train, score and mend talking-head video."""
