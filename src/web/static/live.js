// The tab "Live": frames of the camera and audio of the microphone go to the server, each with its
// time on the clock of the page; what comes back is shown. live.py describes the messages.
{
  const MAX_SIDE = 640; // px, of the frames that are sent
  const JPEG_QUALITY = 0.85;
  const MAX_WAITING = 1e6; // bytes that the connection has not taken yet
  const CLOCK_BLOCKS = 200; // of audio, by which its clock is compared with that of the page
  const MAX_CAPTURE_MS = 5000; // a frame cannot be older
  const RUNNING = ["latency", "so-far"]; // what says nothing new at the end
  const nowS = () => performance.now() / 1000;
  const running = new WeakMap(); // of a tab

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-live]");
    if (!button) return;
    const root = button.closest(".ls-live");
    if (button.dataset.live === "stop") running.get(root)?.stop();
    else if (!running.has(root)) {
      const live = new Live(root);
      running.set(root, live);
      live.start();
    }
  });

  class Live {
    dropped = 0;
    isReady = false;
    isEncoding = false;
    latestS = { V: -Infinity, A: -Infinity };
    clock = [];

    constructor(root) {
      this.root = root;
      this.texts = JSON.parse(root.dataset.texts);
      this.video = root.querySelector("video");
      this.canvas = document.createElement("canvas");
    }

    part(name) {
      return this.root.querySelector(`[data-part="${name}"]`);
    }

    say(name, text) {
      const part = this.part(name);
      if (part.textContent !== text) part.textContent = text;
    }

    async start() {
      this.say("error", "");
      this.say("status", this.texts.asking);
      this.part("start").hidden = true;
      this.part("stop").hidden = false;
      this.part("results").hidden = true;
      this.part("stop").focus();
      try {
        await this.open();
      } catch (error) {
        this.end(await this.reason(error));
      }
    }

    async open() {
      if (!navigator.mediaDevices || !window.AudioWorkletNode) throw new DOMException("", "SecurityError");
      this.media = await navigator.mediaDevices.getUserMedia({
        video: { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 25 } },
        audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false },
      });
      if (this.hasEnded) return this.release(); // stopped while the browser was asking
      for (const track of this.media.getTracks()) track.onended = () => this.end(this.texts.lost);
      this.video.srcObject = this.media;
      this.part("results").hidden = this.video.hidden = false;
      this.clear();
      await this.video.play();
      await this.listen();
      if (this.hasEnded) return this.release();
      this.connect();
    }

    async listen() {
      this.context = new AudioContext();
      await this.context.resume();
      await this.context.audioWorklet.addModule("/live_audio.js");
      const node = new AudioWorkletNode(this.context, "blocks");
      const delayS = this.media.getAudioTracks()[0].getSettings().latency || 0;
      node.port.onmessage = ({ data }) => {
        const endS = data.startS + data.samples.length / this.context.sampleRate;
        this.clock.push(nowS() - endS); // the shortest way says how the clocks differ
        if (this.clock.length > CLOCK_BLOCKS) this.clock.shift();
        const timeS = data.startS + Math.min(...this.clock) - delayS;
        this.send("A", Math.max(timeS, this.latestS.A), data.samples);
      };
      this.context.createMediaStreamSource(this.media).connect(node).connect(this.context.destination);
    }

    connect() {
      this.say("status", this.texts.starting);
      const query = new URLSearchParams({ language: this.root.dataset.language, rate: this.context.sampleRate });
      this.socket = new WebSocket(`${location.protocol.replace("http", "ws")}//${location.host}/live?${query}`);
      this.socket.onmessage = ({ data }) => this.take(JSON.parse(data));
      this.socket.onclose = () => this.end(this.texts.closed);
      this.watch();
    }

    watch() {
      if (this.hasEnded) return;
      const next = (now, frame) => {
        this.grab(now, frame?.captureTime);
        this.watch();
      };
      if (this.video.requestVideoFrameCallback) this.video.requestVideoFrameCallback(next);
      else setTimeout(() => next(performance.now()), 40);
    }

    grab(now, captured) {
      const age = now - captured;
      const timeS = (age >= 0 && age < MAX_CAPTURE_MS ? captured : now) / 1000;
      const { videoWidth: width, videoHeight: height } = this.video;
      if (!this.isReady || !width || timeS <= this.latestS.V) return;
      if (this.isEncoding || this.socket.bufferedAmount > MAX_WAITING) {
        this.dropped += 1;
        return;
      }
      const scale = Math.min(1, MAX_SIDE / Math.max(width, height));
      this.canvas.width = Math.round(width * scale);
      this.canvas.height = Math.round(height * scale);
      this.canvas.getContext("2d").drawImage(this.video, 0, 0, this.canvas.width, this.canvas.height);
      this.isEncoding = true;
      this.canvas.toBlob(async (blob) => {
        if (blob) this.send("V", timeS, new Uint8Array(await blob.arrayBuffer()));
        this.isEncoding = false;
      }, "image/jpeg", JPEG_QUALITY);
    }

    send(kind, timeS, content) {
      if (!this.isReady || this.hasEnded || this.socket.bufferedAmount > 2 * MAX_WAITING) return;
      this.latestS[kind] = timeS;
      const message = new Uint8Array(9 + content.byteLength);
      message[0] = kind.charCodeAt(0);
      new DataView(message.buffer).setFloat64(1, timeS, true);
      message.set(new Uint8Array(content.buffer, content.byteOffset, content.byteLength), 9);
      this.socket.send(message);
    }

    take(view) {
      if (view.state === "failed") this.end(view.text);
      else if (view.state === "ready") {
        this.isReady = true;
        this.say("status", this.texts.running);
      } else {
        this.show(view);
        if (view.state === "ended") this.end("", this.texts.ended);
        else if (this.isReady && view.n_restarts) this.say("status", this.texts.restarted);
      }
    }

    show(view) {
      const ended = view.state === "ended";
      this.say("text", ended ? view.so_far_text : view.text);
      this.say("score", ended ? view.so_far_score_text : view.score_text);
      this.say("offset", ended ? view.so_far_offset_text : view.offset_text);
      this.say("so-far", view.so_far_text);
      if (!ended) this.say("latency", `${(Math.max(0, nowS() - view.time_s)).toFixed(1)} s`);
      this.say("dropped", String(this.dropped + view.n_dropped));
      for (const name of RUNNING) this.part(name).parentElement.hidden = ended;
      this.part("bar").value = (ended ? view.so_far_score : view.score) ?? 0;
    }

    clear() {
      for (const name of ["score", "offset", "latency"]) this.say(name, "–");
      for (const name of RUNNING) this.part(name).parentElement.hidden = false;
      this.say("text", "");
      this.say("so-far", "–");
      this.say("dropped", "0");
      this.part("bar").value = 0;
    }

    stop() {
      if (!this.isReady) return this.end("");
      this.isReady = false; // nothing more is sent; the server answers with the result of everything
      this.say("status", this.texts.stopping);
      this.release();
      this.socket.send("stop");
    }

    release() {
      for (const track of this.media?.getTracks() ?? []) {
        track.onended = null;
        track.stop();
      }
      if (this.context && this.context.state !== "closed") this.context.close();
    }

    end(error, status = "") {
      if (this.hasEnded) return;
      this.hasEnded = true;
      this.release();
      this.video.srcObject = null;
      if (this.socket) {
        this.socket.onclose = this.socket.onmessage = null;
        this.socket.close();
      }
      this.say("error", error);
      this.say("status", status);
      this.part("start").hidden = false;
      if (document.activeElement === this.part("stop")) this.part("start").focus();
      this.part("stop").hidden = true;
      this.video.hidden = true;
      running.delete(this.root);
    }

    async reason(error) {
      const texts = this.texts;
      if (error.name === "NotFoundError" || error.name === "OverconstrainedError") {
        const kinds = (await navigator.mediaDevices.enumerateDevices()).map((device) => device.kind);
        if (!kinds.includes("videoinput")) return texts.noCamera;
        return kinds.includes("audioinput") ? texts.failed : texts.noMicrophone;
      }
      return { NotAllowedError: texts.refused, NotReadableError: texts.inUse, SecurityError: texts.insecure }[
        error.name
      ] ?? texts.failed;
    }
  }
}
