// What jsdom lacks of a browser.
let count = 0;
URL.createObjectURL = () => `blob:null/6a5c1c2e-1b7a-4c11-9d3e-${String(++count).padStart(12, "0")}`;
