// The search of the site runs in a Web worker, which a browser refuses to a page that is opened
// from a file. There the worker's script runs in a hidden frame: both sides talk by messages, as
// they would with a worker.
if (location.protocol === "file:") {
  window.Worker = class FrameWorker extends EventTarget {
    constructor(address) {
      super();
      this.onmessage = null;
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      const shown = new Promise((done) => this.frame.addEventListener("load", done));
      document.body.append(this.frame);
      this.ready = shown.then(() => this.begin(address));
    }

    begin(address) {
      const inside = this.frame.contentWindow;
      inside.postMessage = (data) => this.hear(data);
      inside.importScripts = async (...addresses) => {
        for (const each of addresses) await this.run(each);
      };
      return this.run(address);
    }

    run(address) {
      const script = this.frame.contentDocument.createElement("script");
      const ended = new Promise((done) => script.addEventListener("load", done));
      script.src = address;
      this.frame.contentDocument.body.append(script);
      return ended;
    }

    hear(data) {
      const event = new MessageEvent("message", { data });
      this.dispatchEvent(event);
      this.onmessage?.(event);
    }

    postMessage(data) {
      const tell = () =>
        this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }));
      this.ready.then(tell);
    }

    terminate() {
      this.frame.remove();
    }
  };
}
