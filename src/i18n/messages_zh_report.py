"""Chinese messages of what shows a result: the report, the picture, the annotated copy."""

OF_REPORT: dict[str, str] = {
    # --- the command
    "also write a copy with faces, scores, offset and sound drawn into it (.mp4, .mov, .mkv)": (
        "同时输出标注版视频：画出人脸、分数、偏移和声音（.mp4、.mov、.mkv）"
    ),
    "also write a page that explains the result (.html)": "同时输出说明结果的网页（.html）",
    "report: {path}": "报告: {path}",
    "annotated copy: {path}": "标注版视频: {path}",
    "--face {face}: give speaking, largest, or a number that --json lists": (
        "--face {face}: 请给出 speaking、largest，或 --json 列出的编号"
    ),
    "the mended video is there already: {path}": "校正后的视频已经写好: {path}",
    # --- the annotated copy and the picture
    "drawing the result": "绘制结果",
    "face {number}": "人脸 {number}",
    "face {number}: speaker": "人脸 {number}：说话人",
    "voice-over": "画外音",
    "no face": "没有人脸",
    "similarity, if the sound is delayed": "声音延后不同时间时的相似度",
    "sound · green: in sync, red: not, grey: not judged": "声音 · 绿：同步，红：不同步，灰：未判断",
    "score of this second {score}": "本秒分数 {score}",
    "offset around here {offset}": "此处偏移 {offset}",
    "offset in ms": "偏移（毫秒）",
    "no font of this machine has Chinese letters: pictures are in short English words; install one "
    "of these: {fonts} (Debian, Ubuntu: apt install fonts-noto-cjk)": (
        "本机没有中文字体，图片中的文字改为简短的英文；请安装其中一种字体: {fonts}"
        "（Debian、Ubuntu: apt install fonts-noto-cjk）"
    ),
    # --- the report, its first lines
    "Lip-sync report": "口型同步报告",
    "The sound comes {ms:.0f} ms too late.": "声音晚了 {ms:.0f} 毫秒。",
    "The sound comes {ms:.0f} ms too early.": "声音早了 {ms:.0f} 毫秒。",
    "It could not be determined whether picture and sound belong together.": (
        "无法判断画面与声音是否同步。"
    ),
    "Not sure, but likely: {text}": "不太确定，但很可能：{text}",
    "Picture and sound drift apart.": "画面与声音逐渐错开。",
    "The sound jumps: its offset changes within the film.": "声音有跳变：片中偏移发生了变化。",
    "Picture and sound are in sync.": "画面与声音同步。",
    "Why?": "原因",
    "What was found": "发现了什么",
    "Does one notice it?": "看得出来吗？",
    "How sure is that?": "有多可靠？",
    "What to do": "怎么办",
    "What one hears is {moved} against what the lips say, about {n:.1f} pictures at 25 a second.": (
        "与口型相比，听到的声音{moved}，约合每秒 25 帧时的 {n:.1f} 帧。"
    ),
    "{ms:.0f} ms late": "晚 {ms:.0f} 毫秒",
    "{ms:.0f} ms early": "早 {ms:.0f} 毫秒",
    "in time": "准时",
    "The lips and the sound move together: {ms:.0f} ms apart, less than one picture of {frame} "
    "ms.": "口型与声音一致：相差 {ms:.0f} 毫秒，不到一帧（{frame} 毫秒）。",
    "The sound runs at another speed than the picture: by {ppm:+.0f} parts in a million. At the "
    "start it is {first}, at the end {last}.": (
        "声音与画面的速度不同：相差百万分之 {ppm:+.0f}。开头声音{first}，结尾{last}。"
    ),
    "Something was cut or is missing: {parts}.": "有内容被剪掉或缺失：{parts}。",
    "from {first:.1f} to {last:.1f} s it is {moved}": "{first:.1f}–{last:.1f} 秒声音{moved}",
    "; ": "；",
    "No: so little is not noticed.": "看不出来：差得太少。",
    "Yes, by attentive viewers, but it is still accepted.": "细心的观众看得出来，但仍可接受。",
    "Yes: viewers find so much disturbing.": "看得出来：观众会觉得不舒服。",
    "{answer} By ITU-R BT.1359, {kind} is noticed from {noticed} ms and no longer accepted from "
    "{accepted} ms.": (
        "{answer}按 ITU-R BT.1359，{kind}达到 {noticed} 毫秒可被察觉，达到 {accepted} 毫秒"
        "不可接受。"
    ),
    "early sound": "声音提前",
    "late sound": "声音滞后",
    "{word}: of results with this much evidence, {chance:.0%} are right to within one picture "
    "(±{frame} ms). The chance that the pair is in sync as it is: {score:.0%}.": (
        "{word}：证据达到这种程度的结果中，{chance:.0%} 的误差在一帧（±{frame} 毫秒）以内。"
        "这一对原样同步的概率为 {score:.0%}。"
    ),
    "Very sure": "非常可靠",
    "Rather sure": "比较可靠",
    "Not sure, check it by eye": "不太可靠，请亲眼核对",
    "Nothing needs to be done.": "无需处理。",
    "It may stay so. To mend it all the same, use the command below.": (
        "可以不处理。如仍想校正，请使用下面的命令。"
    ),
    "Have the sound mended along its course with the command below.": (
        "用下面的命令按偏移的走势校正声音。"
    ),
    "Delay the sound by {ms:.0f} ms; the command below does it.": (
        "把声音延后 {ms:.0f} 毫秒；下面的命令可以完成。"
    ),
    "Advance the sound by {ms:.0f} ms; the command below does it.": (
        "把声音提前 {ms:.0f} 毫秒；下面的命令可以完成。"
    ),
    "Name a stretch in which somebody whose face is seen speaks, or see whether the right sound "
    "was given.": "请选一段画面中的人正在说话的片段，或检查声音文件是否正确。",
    "Give a longer piece: some seconds of speech with the face in the picture.": (
        "请使用更长的片段：需要几秒画面中有人脸的语音。"
    ),
    "See whether the sound is of this take (a dubbing or a voice-over has no offset), or give a "
    "longer piece.": ("请检查声音是否属于这段画面（配音或旁白没有偏移可言），或使用更长的片段。"),
    "Let it look further: --set inference.max_offset_frames={frames}": (
        "扩大查找范围：--set inference.max_offset_frames={frames}"
    ),
    "Cut the video into parts, or see whether the sound is of this take.": (
        "请把视频分成几段，或检查声音是否与这段画面同录。"
    ),
    "{text}.": "{text}。",
    # --- the report, what it rests on
    "If the sound were moved": "如果移动声音",
    "How well lips and sound agree when the sound is delayed by so many milliseconds. Where they "
    "agree best, they are in sync; one high, narrow peak is a sure result.": (
        "声音延后相应毫秒数时，口型与声音的吻合程度。最吻合的地方就是同步的位置；只有一个又高又窄的峰，"
        "结果就可靠。"
    ),
    "The offset over time": "偏移随时间的变化",
    "Each dot is what a few seconds show by themselves, the darker the surer (a triangle lies "
    "beyond the edge); the line is the course they have in common.": (
        "每个点是几秒钟的片段单独得出的偏移，颜色越深越可靠（三角形表示超出图的边缘）；"
        "线是它们共同的走势。"
    ),
    "Second by second": "逐秒结果",
    "Above, how likely each second is in sync as it is: green yes, red no; grey seconds have too "
    "little speech, or no face. Below, the sound.": (
        "上图：每一秒原样同步的可能性，绿色为同步，红色为不同步，灰色表示语音太少或没有人脸。"
        "下图：声音波形。"
    ),
    "The faces": "人脸",
    "Every face that was followed, compared with the sound by itself. The result is of those that "
    "are marked.": "每一张被跟踪的人脸单独与声音比较的结果。总的结果取自有标记的人脸。",
    "number": "编号",
    "shot": "镜头",
    "time": "时间",
    "score": "分数",
    "confidence": "置信度",
    "judged": "用于判断",
    "yes": "是",
    "Files and figures": "文件和数据",
    "video": "视频",
    "verdict": "结论",
    "score (0–1: the chance that the pair is in sync as it is)": (
        "分数（0–1：这一对原样同步的概率）"
    ),
    "offset in ms (> 0: the sound must be delayed)": "偏移，毫秒（> 0：声音需要延后）",
    "confidence (LSE-C), minimum distance (LSE-D)": "置信度 (LSE-C)、最小距离 (LSE-D)",
    "face seen": "看见人脸",
    "{share:.0%} of {seconds:.1f} s": "{seconds:.1f} 秒中的 {share:.0%}",
    "model": "模型",
}
