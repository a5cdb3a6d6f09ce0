# PyTorch for the CPU by default; for CUDA:
#   docker build --build-arg TORCH_INDEX= -t lipsync:cuda .     and run it with --gpus all
ARG PYTHON_VERSION=3.12
FROM python:${PYTHON_VERSION}-slim

# Where torch, torchvision and torchaudio come from; empty: PyPI, whose wheels need CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1

# What OpenCV loads.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/lipsync
# The versions of requirements.lock.
COPY requirements.txt requirements.lock ./
RUN sed -n 's/^\([a-z0-9].*[^ ]\) *\\$/\1/p' requirements.lock > versions.txt \
    && if [ -n "$TORCH_INDEX" ]; then \
        grep -E '^torch(vision|audio)?==' requirements.txt > torch.txt \
        && pip install --index-url "$TORCH_INDEX" -r torch.txt; \
    fi \
    && pip install -r requirements.txt -c versions.txt

COPY pyproject.toml setup.py MANIFEST.in LICENSE README.md config.yaml ./
COPY src ./src
COPY docs/result.schema.json ./docs/result.schema.json
COPY pretrained ./pretrained
COPY tools/inference_example.py ./tools/inference_example.py
RUN pip install --no-deps .

RUN useradd --create-home --uid 1000 lipsync \
    && install -d -o lipsync -g lipsync /work
USER lipsync
WORKDIR /work

# Loads the model that comes with it.
HEALTHCHECK --interval=5m --timeout=60s --start-period=30s \
    CMD ["python", "-c", "from lipsync.inference import LipSyncInference as L; L(device='cpu')"]

ENTRYPOINT ["lipsync"]
CMD ["--help"]
