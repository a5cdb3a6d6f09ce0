"""Chinese messages of ``tools/`` and ``benchmarks/``, as in ``messages_zh``."""

OF_TOOLS: dict[str, str] = {
    "Train our network with other inputs and other temporal parts and measure them.": (
        "用其他输入和其他时序部分训练本网络并评测。"
    ),
    "only these": "只运行这些",
    "{minutes:g} minutes each; validation: {clips} clips of {speakers} speakers": (
        "每个训练 {minutes:g} 分钟; 验证: {speakers} 位说话人的 {clips} 段视频"
    ),
    "Compare the offsets that two models find in the same clips.": (
        "比较两个模型对同一批视频给出的偏移。"
    ),
    "the two models": "两个模型",
    "there is no clip to which both models give an offset": "没有一段视频同时得到两个模型的偏移",
    "{n} of {all} clips have an offset by both models": "{all} 段视频中有 {n} 段两个模型都给出偏移",
    "zero has moved by {ms:+.1f} ms (5 to 95 % of the clips: {low:+.1f} to {high:+.1f} ms)": (
        "零点移动了 {ms:+.1f} ms（5–95 % 的视频: {low:+.1f} 到 {high:+.1f} ms）"
    ),
    "Measure how many answers are right at each confidence.": ("测量各置信度下有多少答案是对的。"),
    "{own} answers with the clips' own sounds, {foreign} with another speaker's": (
        "{own} 个答案用视频自己的声音，{foreign} 个用他人的声音"
    ),
    "Count how often no offset is told, rightly and wrongly.": (
        "统计“无法判断”说得对与不对的比例。"
    ),
    "Compare training on a few clips of a person with and without the pretrained weights.": (
        "用某人的少量视频，比较有无预训练权重的训练效果。"
    ),
    "the speaker, or part of the name": "说话人，或其名称的一部分",
    "clips to train on": "用于训练的视频数",
    "measured on {n} other clips of {name}": "在 {name} 的另外 {n} 段视频上评测",
    "{name}: {people} speakers with {n} clips; one with more than {clips} is needed": (
        "{name}: 匹配到 {people} 位说话人、{n} 段视频；需要一位且多于 {clips} 段"
    ),
    "Train the field's networks and ours for the same time and measure them alike.": (
        "用同样的时间训练业界的网络和我们的网络，并用同样的方法评测。"
    ),
    "--minutes: more than 0": "--minutes: 必须大于 0",
    "figures go here": "结果写到这里",
    "of training, for each": "每个网络的训练分钟数",
    "{minutes:g} minutes each; {clips} clips of {speakers} speakers": (
        "每个训练 {minutes:g} 分钟；{speakers} 位说话人的 {clips} 段视频"
    ),
    "Write a checkpoint without the state of its training, to use and to pass on.": (
        "写出不含训练状态的检查点，便于使用和分发。"
    ),
    "the new file (default: <name>_inference.pth or <name>_weights.pth)": (
        "新文件（默认 <原名>_inference.pth 或 <原名>_weights.pth）"
    ),
    "only the weights, without their settings": "只要权重，不要配置",
    "delete the checkpoint once the new file was read and compared": (
        "在读回并比对新文件之后删除原检查点"
    ),
    "deleted: {path}": "已删除: {path}",
    "saved: {parts}": "已保存: {parts}",
    "saved: {path}": "已保存: {path}",
    "the new file": "新文件",
    "two or more": "两个或更多",
    "two or more checkpoints are needed": "需要两个或更多检查点",
    "the mean": "平均",
    "{path} holds another network than the first one": "{path} 中的网络与第一个不同",
    "Make one checkpoint of several: the mean of their weights, or all side by side.": (
        "由多个检查点生成一个: 取权重平均，或并列使用。"
    ),
    "mean: for trainings that went on from one checkpoint; members: side by side": (
        "mean: 用于从同一检查点继续的多次训练；members: 并列"
    ),
    "side by side": "并列",
    "weights of 16 bits: half the size": "权重存为 16 位: 大小减半",
    "{path} was trained on other clips than the first one, or on another split of them: clips it "
    "was trained on would be tested on": (
        "{path} 训练时的视频或划分与第一个不同: 训练过的视频会被用来测试"
    ),
    "{path}: {size:.1f} MB ({share:.0%} less)": "{path}: {size:.1f} MB（小了 {share:.0%}）",
    "{path} does not hold what was written: is the disk sound?": (
        "{path} 的内容与写入的不一致: 磁盘是否正常？"
    ),
    "Check a checkpoint: format, weights, a trial run and, with an index, its figures.": (
        "检查一个检查点: 格式、权重、试运行；给出索引时还核对其指标。"
    ),
    "dataset_index.pkl it was trained on": "训练它的 dataset_index.pkl",
    "not sound: {why}": "有问题: {why}",
    "the checkpoint is sound": "检查点完好",
    "measured": "实测",
    "validation loss {loss:.4f}, accuracy {acc:.4f}, whole clips {whole:.1%}": (
        "验证损失 {loss:.4f}，准确率 {acc:.4f}，整段视频 {whole:.1%}"
    ),
    "weights are missing: {names}": "缺少权重: {names}",
    "weights that no part of the network has: {names}": "网络中没有的权重: {names}",
    "weights of another shape: {names}": "形状不符的权重: {names}",
    "weights that are not finite: {names}": "含非有限值的权重: {names}",
    "the calibration of {name} is no calibration": "{name} 的校准参数无效",
    "the network gives embeddings of a wrong shape": "网络输出的嵌入形状不对",
    "the network gives embeddings that are not of length 1": "网络输出的嵌入长度不为 1",
    "tried on made input": "试运行",
    "embeddings of length 1, finite": "嵌入长度为 1，数值有限",
    "written with": "写出时的版本",
    "tensors": "张量",
    "{n} tensors": "{n} 个张量",
    "zero": "零点",
    "network": "网络",
    "parameters": "参数量",
    "whole: training can go on": "完整: 可以继续训练",
    "for inference: without optimizer": "推理用: 不含优化器",
    "no val_loss is stored": "没有保存 val_loss",
    "val_loss is stored as {stored:.4f}, measured as {loss:.4f}": (
        "保存的 val_loss 为 {stored:.4f}，实测为 {loss:.4f}"
    ),
    "{index} holds other clips than the training had, or other splits of them: its figures cannot "
    "be compared": "{index} 中的视频或划分与训练时不同: 无法比较指标",
    "Measure all checkpoints of a folder on the validation samples of their training.": (
        "在训练所用的验证样本上评测文件夹中的所有检查点。"
    ),
    "the folder": "文件夹",
    "the picture (default: checkpoints.png in paths.output_dir)": (
        "图片（默认 paths.output_dir 中的 checkpoints.png）"
    ),
    "{folder} holds no checkpoints": "{folder} 中没有检查点",
    "left out: {why}": "略过: {why}",
    "* the best by val_loss: {name}": "* 按 val_loss 最好的: {name}",
    "median error": "误差中位数",
    "Export the encoders of a checkpoint as weights, ONNX or TorchScript.": (
        "把检查点的编码器导出为权重、ONNX 或 TorchScript。"
    ),
    "the folder (default: exported_models)": "文件夹（默认 exported_models）",
    "leave out what only training needs": "不导出只有训练才需要的部分",
    "also inference_example.py, which needs no part of this project": (
        "同时写出 inference_example.py，它不依赖本项目"
    ),
    "also as ONNX in int8; needs --index": "同时导出 int8 的 ONNX；需要 --index",
    "dataset_index.pkl: int8 is calibrated and measured on it": (
        "dataset_index.pkl: int8 用它来校准和评测"
    ),
    "--format: unknown: {names}; allowed: pth,onnx,torchscript": (
        "--format: 未知: {names}；允许的有 pth,onnx,torchscript"
    ),
    "--quantize needs --index and onnx in --format": (
        "--quantize 需要 --index，且 --format 中要有 onnx"
    ),
    "{path}: at least 2 samples are needed": "{path}: 至少需要 2 个样本",
    "{path} differs from the network by {difference:.1e}: not written": (
        "{path} 与网络的输出相差 {difference:.1e}: 未写出"
    ),
    "Draw crops, sound and similarity of windows a model gets right and of ones it gets wrong.": (
        "画出模型判断正确和错误的窗口: 人脸裁剪、声音和相似度。"
    ),
    "how many windows": "窗口数",
    "other windows with another seed": "换一个种子得到另外的窗口",
    "the picture": "图片",
    "--num-samples: at least 1": "--num-samples: 至少为 1",
    "{right} windows found right, {wrong} wrong; picture: {path}": (
        "{right} 个窗口正确，{wrong} 个错误；图片: {path}"
    ),
    "{path}: no sample is long enough for a window and all offsets around it": (
        "{path}: 没有一个样本长到能容纳一个窗口及其周围的所有偏移"
    ),
    "{path}: {size:.1f} MB": "{path}: {size:.1f} MB",
    "Run the four steps on talking faces made on the spot.": "在现场生成的说话人脸上运行四个步骤。",
    "1/4 folders": "1/4 创建文件夹",
    "talking faces": "生成说话人脸",
    "2/4 preprocessing": "2/4 数据预处理",
    "3/4 training": "3/4 训练",
    "4/4 find and mend the shift of a clip that was not trained on": (
        "4/4 找出并校正一段未参与训练的视频的偏移"
    ),
    "injected offset: {ms:+.0f} ms": "注入的偏移: {ms:+.0f} 毫秒",
    "found offset:    {ms:+.0f} ms": "找到的偏移: {ms:+.0f} 毫秒",
    "video:   {path}": "视频: {path}",
    "done in {minutes:.1f} minutes": "用时 {minutes:.1f} 分钟",
    "the demo stopped: {command} failed": "演示中止: {command} 运行失败",
    "by how much the sound is put off: > 0 early, < 0 late": "声音错开的毫秒数: > 0 超前，< 0 滞后",
    "clips to make": "要生成的视频数",
    "epochs to train": "训练轮数",
    "{n} clips in {folder}, listed in corpus.csv": "{folder} 中有 {n} 个视频，列表见 corpus.csv",
    "a clip of {seconds} s has no frame": "{seconds} 秒的视频连一帧也没有",
    "the shift must be within ±{most:.0f} ms, not {ms}": (
        "错开的时间须在 ±{most:.0f} 毫秒以内，而不是 {ms}"
    ),
    "Make a small corpus of drawn faces that speak, in perfect sync.": (
        "生成一小组完全同步的、会说话的手绘人脸视频。"
    ),
    "folder for videos/ and corpus.csv": "存放 videos/ 和 corpus.csv 的文件夹",
    "how many clips": "视频数",
    "length of each": "每个视频的长度（秒）",
    "different faces and voices": "不同的人脸和嗓音数",
    "another seed, other people": "换一个种子，换一批人",
    "--num-clips, --speakers and --seconds must be positive, --seed not negative": (
        "--num-clips、--speakers 和 --seconds 须为正数，--seed 不能为负"
    ),
    "espeak-ng is missing: pip install espeakng-loader ({why})": (
        "缺少 espeak-ng: 请运行 pip install espeakng-loader（{why}）"
    ),
    "espeak-ng is incomplete in {folder}: reinstall espeakng-loader": (
        "{folder} 中的 espeak-ng 不完整: 请重新安装 espeakng-loader"
    ),
    "espeak-ng cannot read so long a path: {path}": "espeak-ng 无法读取这么长的路径: {path}",
    "espeak-ng cannot be loaded: {why}": "无法加载 espeak-ng: {why}",
    "espeak-ng does not start: reinstall espeakng-loader": (
        "espeak-ng 无法启动: 请重新安装 espeakng-loader"
    ),
    "espeak-ng has no voice {name!r}": "espeak-ng 没有嗓音 {name!r}",
    "espeak-ng said nothing for {text!r}": "espeak-ng 没有读出 {text!r}",
    "{path} is there and leads elsewhere: remove it, or choose another data.video_dir": (
        "{path} 已存在且指向别处: 请删除它，或更换 data.video_dir"
    ),
    "{folder} was made with other settings: choose another --output": (
        "{folder} 是用其他设置生成的: 请更换 --output"
    ),
    "{path} has no rows": "{path} 中没有任何行",
    "Link the clips of a table into folders by speaker, as training by speaker needs.": (
        "按表格把片段链接到每位说话人各自的文件夹，供按说话人训练使用。"
    ),
    "table of the clips: columns path and speaker": "片段表格: 列 path 和 speaker",
    "folder the paths of the table begin in (default: that of the table)": (
        "表格中路径的起始文件夹（默认为表格所在文件夹）"
    ),
    "only clips whose path begins with this": "只取路径以此开头的片段",
    "{path} has no clips of a named speaker": "{path} 中没有注明说话人的片段",
    "{n} clips of {speakers} speakers linked in {folder}": (
        "已在 {folder} 中链接 {n} 个片段，{speakers} 位说话人"
    ),
    "cannot link {path}: {why}": "无法链接 {path}: {why}",
    "Train and measure every row of the table of ablations.": "训练并评测消融表的每一行。",
    "the table (YAML)": "表格（YAML）",
    "networks and figures go here": "网络和结果的输出文件夹",
    "{path} is no table of rows: {why}": "{path} 不是有效的消融表: {why}",
    "the training in {folder} failed": "{folder} 中的训练失败",
    "validation: {clips} clips of {speakers} speakers": (
        "验证集: {clips} 个片段，{speakers} 位说话人"
    ),
    "Measure how long it takes to score a clip.": "测量为一段视频打分需要多长时间。",
    "most of the processor time: {shares}": "处理器时间最多的阶段：{shares}",
    "in all: {wall:.1f} s, {speed:.1f} × real time; processor time {busy:.1f} s": (
        "合计：{wall:.1f} 秒，{speed:.1f} 倍实时；处理器时间 {busy:.1f} 秒"
    ),
    "Measure how fast clips become samples.": "测量把片段处理成样本的速度。",
    "no face in the middle of the first seconds of {path}": "{path} 开头几秒的中间没有人脸",
    "Show what the API can do.": "演示 API 的用法。",
    "the video (default: a drawn talking face)": "视频文件（默认：绘制的说话人脸）",
    "the folder (default: {path})": "文件夹（默认 {path}）",
    "a clip of your own (default: one made on the spot)": "自己的片段（默认现场生成一个）",
    "length of the clip made": "生成片段的长度",
    "runs; their median counts": "重复次数；取中位数",
    "whole step, {n} processes: {frames:.0f} frames/s, {speed:.1f} × real time "
    "({least:.1f} to {most:.1f})": (
        "整个步骤，{n} 个进程: {frames:.0f} 帧/秒，{speed:.1f} 倍实时（{least:.1f} 至 {most:.1f}）"
    ),
    "Measure how fast, how late and in how much memory a live stream is judged.": (
        "测量实时判断的速度、延迟和内存。"
    ),
    "minutes of the stream": "流的长度（分钟）",
    "{name}: {width}×{height}, {fps:.1f} fps, played {minutes:g} minutes": (
        "{name}: {width}×{height}，{fps:.1f} 帧/秒，播放 {minutes:g} 分钟"
    ),
    "speed: {speed:.1f} × real time ({processor:.1f} × by processor time)": (
        "速度: {speed:.1f} 倍实时（按处理器时间 {processor:.1f} 倍）"
    ),
    "latency, from the last sample to the answer: median {median:.0f} ms, 95 % {late:.0f} ms "
    "(processor time: {busy:.0f} and {busy_late:.0f} ms)": (
        "延迟（从最后一个采样到结果）: 中位数 {median:.0f} 毫秒，95 % {late:.0f} 毫秒"
        "（处理器时间: {busy:.0f} 和 {busy_late:.0f} 毫秒）"
    ),
    "peak memory: {first:.0f} MB after minute 1, {more:+.1f} MB by minute {last:g}": (
        "内存峰值: 第 1 分钟后 {first:.0f} MB，到第 {last:g} 分钟 {more:+.1f} MB"
    ),
    "peak memory: only Unix measures it": "内存峰值: 仅 Unix 系统可测",
    "result: {result}": "结果: {result}",
}
