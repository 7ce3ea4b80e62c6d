"use strict";
// A slider moves the border of the view before it: by pointer on the picture, by touch, by the arrow keys.
for (const view of document.querySelectorAll(".view")) {
  const slide = document.getElementById(view.dataset.slide);
  const show = () => {
    view.style.setProperty("--at", slide.value + "%");
    slide.setAttribute("aria-valuetext", Math.round(slide.value) + " % before");
  };
  const follow = (event) => {
    const box = view.getBoundingClientRect();
    slide.value = Math.min(100, Math.max(0, (100 * (event.clientX - box.left)) / box.width));
    show();
  };
  slide.addEventListener("input", show);
  view.addEventListener("pointerdown", (event) => {
    view.setPointerCapture(event.pointerId);
    follow(event);
  });
  view.addEventListener("pointermove", (event) => {
    if (event.buttons || event.pointerType === "touch") follow(event);
  });
  show();
}

// The stills: buttons choose which pair is shown.
const choices = [...document.querySelectorAll("[data-still]")];
for (const button of choices)
  button.addEventListener("click", () => {
    const view = document.getElementById("stills");
    const found = document.getElementById("still-" + button.dataset.still);
    const [before, after] = found.querySelectorAll("img");
    for (const [name, image] of [["before", before], ["after", after]]) {
      const copy = image.cloneNode();
      copy.removeAttribute("loading");
      copy.className = name;
      view.querySelector("." + name).replaceWith(copy);
    }
    for (const other of choices) other.setAttribute("aria-pressed", String(other === button));
  });
if (choices.length) choices[0].click();

// One video holds A above B, so that the two can never fall out of step; each frame is drawn to two canvases.
const video = document.getElementById("stacked");
if (video) {
  const [before, after] = ["film-before", "film-after"].map((id) => document.getElementById(id));
  const play = document.getElementById("play"), seek = document.getElementById("seek");
  const time = document.getElementById("time");
  const starts = JSON.parse(video.dataset.starts); // of each frame, in seconds: old films have no fixed step
  const data = Uint8Array.from(atob(document.getElementById("film").textContent.trim()), (c) => c.charCodeAt(0));
  video.src = URL.createObjectURL(new Blob([data], { type: "video/mp4" }));
  const frameAt = (seconds) => Math.max(0, starts.findLastIndex((start) => start <= seconds + 0.001));
  const draw = () => {
    const width = video.videoWidth, height = video.videoHeight / 2;
    if (!width) return;
    for (const [canvas, top] of [[before, 0], [after, height]]) {
      if (canvas.width !== width) [canvas.width, canvas.height] = [width, height];
      canvas.getContext("2d").drawImage(video, 0, top, width, height, 0, 0, width, height);
    }
    if (document.activeElement !== seek || !video.paused) seek.value = video.currentTime;
    time.textContent = starts[frameAt(video.currentTime)].toFixed(2) + " s";
  };
  // "seeked" may come a moment before the frame does: where the browser tells of each frame, its word is the last.
  const follow = () => {
    draw();
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(follow);
    else if (!video.paused) requestAnimationFrame(follow);
  };
  const turn = () => (video.paused ? video.play() : video.pause());
  const move = (by) => {
    video.pause();
    const wanted = Math.min(starts.length - 1, Math.max(0, frameAt(video.currentTime) + by));
    const end = wanted + 1 < starts.length ? starts[wanted + 1] : video.duration;
    video.currentTime = (starts[wanted] + end) / 2; // its middle: at its very start some browsers show the one before
  };
  video.addEventListener("loadedmetadata", () => {
    seek.max = video.duration;
    video.currentTime = 0; // draws the first frame: a video that is not shown gives none until it is sought
  });
  for (const kind of ["loadeddata", "seeked", "timeupdate"]) video.addEventListener(kind, draw);
  if (video.requestVideoFrameCallback) follow();
  video.addEventListener("play", () => {
    play.textContent = "Pause";
    if (!video.requestVideoFrameCallback) follow();
  });
  video.addEventListener("pause", () => (play.textContent = "Play"));
  play.addEventListener("click", turn);
  seek.addEventListener("input", () => (video.currentTime = Number(seek.value)));
  document.getElementById("back").addEventListener("click", () => move(-1));
  document.getElementById("forth").addEventListener("click", () => move(1));
  document.getElementById("speed").addEventListener("change", (event) => (video.playbackRate = Number(event.target.value)));
}
