// KaTeX comes with the pages, its stylesheet and fonts from the network. Where these do not arrive,
// show the MathML that KaTeX makes as well, which browsers draw by themselves.
window.addEventListener("load", () => {
  const mathml = document.querySelector(".katex-mathml");
  if (mathml && getComputedStyle(mathml).position !== "absolute") {
    document.documentElement.classList.add("plain-math");
  }
});
