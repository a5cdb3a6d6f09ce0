// The microphone in blocks: mono samples, and the time of the first on the clock of the context.
const BLOCK = 2048;

class Blocks extends AudioWorkletProcessor {
  samples = new Float32Array(BLOCK);
  n = 0;
  startS = 0;

  process([channels]) {
    if (!channels.length) return true;
    if (!this.n) this.startS = currentTime;
    for (let i = 0; i < channels[0].length; i++) {
      let sum = 0;
      for (const channel of channels) sum += channel[i];
      this.samples[this.n++] = sum / channels.length;
    }
    if (this.n >= BLOCK) {
      this.port.postMessage({ startS: this.startS, samples: this.samples.slice(0, this.n) });
      this.n = 0;
    }
    return true;
  }
}

registerProcessor("blocks", Blocks);
