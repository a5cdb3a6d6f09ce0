"""The common clock: rates and lengths of time that preprocessing, training and scoring share."""

FPS = 25  # frames per second of the grid
SAMPLE_RATE = 16000  # Hz
SAMPLES_PER_FRAME = SAMPLE_RATE // FPS
HOP = 160  # samples per hop: 10 ms
HOPS_PER_FRAME = SAMPLE_RATE // HOP // FPS  # 4
HOP_MS = 1000 * HOP // SAMPLE_RATE  # 10
N_MELS = 40  # bands; with as many coefficients the DCT is invertible
WINDOW_FRAMES = 5  # a window: 5 frames and the 20 hops under them, what one embedding sees
FRAME_MS = 1000 // FPS
