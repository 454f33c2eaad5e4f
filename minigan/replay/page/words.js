// Every word of the page, in English and Chinese. {name} is filled in by `t`.

const WORDS = {
  en: {
    lang: "en",
    other: "中文",
    otherLabel: "中文 (show the page in Chinese)",
    title: "minigan replay",
    intro: "G makes samples from noise, D judges how real they look, and G learns only from D's gradient.",
    about: "recipe {recipe}, seed {seed}",
    aboutGame: "{game} with the loss {loss}, trained on {data}",
    settings: "All settings of this run",
    // the clock
    step: "step {step} of {last}",
    stepShort: "step {step}",
    beforeTraining: "before training",
    halfD: "D has moved; G has not",
    halfG: "G has followed D's arrows",
    controls: "controls of the replay",
    play: "Play",
    pause: "Pause",
    back: "One frame back",
    forward: "One frame forward",
    scrub: "training step",
    speed: "Speed",
    perSecond: "{frames} fps",
    half: "Half steps",
    halfHelp: "Show each step in two halves: first D moves, then G",
    showOptimal: "Best D",
    showOptimalHelp: "Show the best possible D for this G. The arrows are still those of the D that plays.",
    playing: "Playing from step {step}.",
    // a run at a moment
    late: "This run was recorded from step {step} on.",
    shows: "Shown here: the frame of step {step}.",
    ended: "This run ended at step {step}.",
    reading: "Arrow keys move the reading cross.",
    timelineLabel: "Losses over the frames of {name}, now at step {step}: {values}.",
    now: "At this step",
    nowOf: "{name} at this step",
    measures: "Health at step {step}",
    notMeasured: "Health: not measured yet",
    sound: "No failure seen.",
    keys: "Keys",
    guide: "How to read the pictures",
    guideText:
      "An arrow is minus the gradient of G's loss: where D pushes a sample. The thin line behind a sample is how far it moved in this step. Between its two colours, as along the grey line, D is undecided. On the time line, the dotted line is the loss of an undecided D; a red bar marks a failure.",
    keysWith: [
      ["Space", "play or pause"],
      ["← →", "one frame back or forward"],
      ["Shift + ← →", "ten frames"],
      ["Home End", "the first or last frame"],
      ["[ ]", "slower or faster"],
      ["H", "half steps"],
      ["O", "the best possible D"],
      ["L", "English or Chinese"],
      ["Tab, then ← ↑ ↓ →", "read values in a picture; Esc ends it"],
    ],
    // columns of the history and values of a frame
    losses: "losses",
    d_real: "D's loss on real",
    d_fake: "D's loss on fake",
    g: "G's loss",
    penalty: "penalty",
    slope: "D's slope",
    estimate: "estimate",
    information: "information",
    code_information: "code information",
    consistency: "consistency",
    mean: "samples' mean",
    std: "standard deviation",
    ks: "Kolmogorov-Smirnov distance",
    modes: "modes found",
    high_quality: "samples near a mode",
    sliced: "sliced Wasserstein distance",
    auc: "D ranks real higher (0.5: chance)",
    aucHelp: "how often D scores a real sample above a generated one: 0.5 is chance",
    g_grad: "norm of G's gradient",
    g_gradHelp: "in the latest step of the row",
    diversity: "spread (1:\u00a0right)",
    diversityHelp: "over the spread of the data: 1 is right, 0 is always the same sample",
    // errors
    errorDamaged: "The recording in this page is damaged: write the page again with minigan replay.",
    errorOldBrowser:
      "This browser cannot unpack the recording (it has no DecompressionStream): open the page in a newer one.",
    errorUnexpected: "The page has failed: {message}",
  },
  zh: {
    lang: "zh-CN",
    other: "English",
    otherLabel: "English（切换到英文）",
    title: "minigan 训练回放",
    intro: "G 把噪声变成样本，D 判断样本像不像真的，G 只从 D 的梯度中学习。",
    about: "配方 {recipe}，随机种子 {seed}",
    aboutGame: "{game}，损失函数 {loss}，训练数据 {data}",
    settings: "本次训练的全部设置",
    step: "第 {step} 步，共 {last} 步",
    stepShort: "第 {step} 步",
    beforeTraining: "训练开始前",
    halfD: "D 已更新，G 还没有",
    halfG: "G 已沿 D 的箭头移动",
    controls: "回放控制",
    play: "播放",
    pause: "暂停",
    back: "后退一帧",
    forward: "前进一帧",
    scrub: "训练步",
    speed: "速度",
    perSecond: "每秒 {frames} 帧",
    half: "半步",
    halfHelp: "每一步分两半显示：先是 D 更新，再是 G 更新",
    showOptimal: "最优 D",
    showOptimalHelp: "显示对当前的 G 来说理论最优的 D；箭头仍由实际训练的 D 给出",
    playing: "从第 {step} 步开始播放。",
    late: "这次训练从第 {step} 步才开始录制。",
    shows: "这里显示的是第 {step} 步的帧。",
    ended: "这次训练在第 {step} 步结束。",
    reading: "用方向键移动十字光标读数。",
    timelineLabel: "{name} 各帧的损失，当前在第 {step} 步：{values}。",
    now: "当前这一步",
    nowOf: "{name}：当前这一步",
    measures: "第 {step} 步的健康检查",
    notMeasured: "健康检查：尚未测量",
    sound: "没有发现异常。",
    keys: "快捷键",
    guide: "怎样看图",
    guideText:
      "箭头是 G 的损失的负梯度，即 D 把样本推向哪里。样本后面的细线是它在这一步中走过的路。两种颜色交界处（灰线处），D 拿不定主意。时间线上，灰色虚线是 D 拿不定主意时的损失，红条表示发现异常。",
    keysWith: [
      ["空格", "播放或暂停"],
      ["← →", "后退或前进一帧"],
      ["Shift + ← →", "十帧"],
      ["Home End", "第一帧或最后一帧"],
      ["[ ]", "放慢或加快"],
      ["H", "半步"],
      ["O", "理论最优的 D"],
      ["L", "中文或英文"],
      ["Tab，然后 ← ↑ ↓ →", "在图中读数；Esc 退出"],
    ],
    losses: "损失",
    d_real: "D 的真样本损失",
    d_fake: "D 的生成样本损失",
    g: "G 的损失",
    penalty: "惩罚项",
    slope: "D 的斜率",
    estimate: "距离估计",
    information: "信息量",
    code_information: "连续编码的信息量",
    consistency: "一致性",
    mean: "样本均值",
    std: "样本标准差",
    ks: "KS 距离",
    modes: "找到的模态",
    high_quality: "靠近模态的样本",
    sliced: "切片 Wasserstein 距离",
    auc: "D 认出真样本的概率（0.5：随机）",
    aucHelp: "D 给真实样本的分数高于生成样本的概率：0.5 等于随机猜测",
    g_grad: "G 的梯度范数",
    g_gradHelp: "测量时最近一步的值",
    diversity: "样本的离散程度（1：正好）",
    diversityHelp: "与数据的离散程度之比：1 正好，0 表示样本全都一样",
    errorDamaged: "页面中的录制数据已损坏：请用 minigan replay 重新生成页面。",
    errorOldBrowser: "这个浏览器无法解压录制数据（没有 DecompressionStream）：请换用较新的浏览器打开。",
    errorUnexpected: "页面出错了：{message}",
  },
};

// What the health check says, in Chinese, piece by piece: # stands for a number, {0} for the first
// one of the piece. A sentence with a piece that is missing here is shown in English.
const HEALTH_ZH = {
  "D saturated": "D 饱和",
  "G's gradient vanished": "G 的梯度消失",
  "samples collapsed": "样本坍缩",
  "AUC of at least # in the last # rows": "最近 {1} 次测量的 AUC 都不低于 {0}",
  "norm of at most # in the last # rows": "最近 {1} 次测量的范数都不超过 {0}",
  "its largest #": "最大时为 {0}",
  "at most # % of the data's spread in the last # rows": "最近 {1} 次测量的离散程度都不超过数据的 {0}%",
  "it recognises nearly every generated sample": "它几乎能认出每个生成样本，可以试试",
  "a lower rate for D": "降低 D 的学习率",
  "a penalty on its slope (R1)": "惩罚 D 的斜率（R1）",
  "dropout in D": "在 D 中加入 dropout",
  "label smoothing": "标签平滑",
  "it was # in every row": "每次测量都是 {0}",
  "see whether G's half of a step passes D's gradient on to G": "请检查 G 的那半步是否把 D 的梯度传给了 G",
  "the critic is flat": "评论家（critic）是平的，可以试试",
  "a wider Clip": "放宽 Clip",
  "or a GradientPenalty instead": "或改用 GradientPenalty",
  "G learns nothing from D": "G 从 D 那里学不到东西，可以试试",
  "a loss that does not saturate": "不会饱和的损失函数",
  "the non-saturating loss": "非饱和损失",
  "logits instead of probabilities": "让 D 输出 logit 而不是概率",
  "a weaker D": "较弱的 D",
  "D is flat where the samples are": "D 在样本所在的地方是平的，可以试试",
  "LeakyReLU in D instead of ReLU": "把 D 中的 ReLU 换成 LeakyReLU",
  "G produces nearly identical samples": "G 生成的样本几乎一样，可以试试",
  "lower rates": "降低学习率",
  "a D that scores packs": "让 D 一次判断一组样本",
  "noise of more dimensions": "增加噪声的维数",
};

let language = "en";

/** Choose "en" or "zh". */
function setLanguage(name) {
  language = name;
}

/** The words for a key in the present language, with {placeholders} filled in. */
function t(key, values = {}) {
  const text = WORDS[language][key] ?? WORDS.en[key] ?? key;
  if (typeof text !== "string") return text;
  return text.replace(/\{(\w+)\}/g, (hole, name) => values[name] ?? hole);
}

/** Whether there are words for a key. */
function hasWords(key) {
  return key in WORDS.en;
}

const NUMBERS = /(?<![A-Za-z])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?/g;
const JOINTS = { ": ": "：", ", ": "、", "; ": "；" };

/** A sentence of the health check in the present language: {text, lang}. */
function healthWords(sentence) {
  const pieces = sentence.split(/([:,;] )/).map((piece) => {
    const found = piece.match(NUMBERS) ?? [];
    const known = JOINTS[piece] ?? HEALTH_ZH[piece.replace(NUMBERS, "#")];
    return known?.replace(/\{(\d)\}/g, (_, i) => found[i]);
  });
  if (language === "en" || pieces.includes(undefined)) return { text: sentence, lang: "en" };
  return { text: pieces.join(""), lang: "zh-CN" };
}

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** A whole number: "12,500". */
function count(n) {
  return WHOLE.format(n);
}

/** A number with three digits that count, always as wide as it can be: "0.690", "−1.20", "3.1e−5". */
function number(x) {
  if (!Number.isFinite(x)) return "–";
  const size = Math.abs(x);
  let text;
  if (Number.isInteger(size) && size < 1e6) text = count(size);
  else if (size < 1e-3 || size >= 1e6) text = size.toExponential(1).replace("+", "");
  else if (size >= 1000) text = count(size);
  else text = size < 1 ? size.toFixed(size < 0.0995 ? 4 : 3) : size.toPrecision(3);
  return (x < 0 ? "−" : "") + text.replace("-", "−");
}
