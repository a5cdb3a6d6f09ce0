"""Chinese messages: English text as written in ``tr(...)`` -> Chinese, places in braces kept."""

CATALOGUE: dict[str, str] = {
    # --- all commands
    "example: {command}": "示例: {command}",
    "settings (default: config.yaml)": "配置文件（默认 config.yaml）",
    "override one setting, for example training.batch_size=4; may be repeated": (
        "覆盖一项配置，例如 training.batch_size=4；可重复使用"
    ),
    "error: {text}": "错误: {text}",
    "stopped": "已中断",
    "exists: {folder}": "已存在: {folder}",
    "created: {folder}": "已创建: {folder}",
    "cannot write {path}: {why}": "无法写入 {path}: {why}",
    "cannot make the folder {path}: {why}": "无法创建文件夹 {path}: {why}",
    # --- settings
    "{key} = {value!r}: {why}": "{key} = {value!r}: {why}",
    "allowed: {expected}": "允许的取值: {expected}",
    "unknown setting {key}; allowed: {known}": "未知配置项 {key}；可用的有: {known}",
    " — did you mean {near}?": "。是否想写 {near}？",
    "allowed: auto, cpu, cuda, cuda:N": "允许的取值: auto, cpu, cuda, cuda:N",
    "train_split + val_split + test_split must be 1": (
        "train_split + val_split + test_split 之和必须为 1"
    ),
    "multiple of {step}": "{step} 的倍数",
    "a whole number is needed": "需要整数",
    "a number is needed": "需要数字",
    "true or false is needed": "需要 true 或 false",
    "a text is needed": "需要文本",
    "a list is needed, such as [flip, blur]": "需要列表，例如 [flip, blur]",
    "a section with settings is needed": "需要一组配置项",
    "{path} is not valid YAML: {why}": "{path} 不是有效的 YAML: {why}",
    "--set {override}: write section.key=value, for example training.batch_size=4": (
        "--set {override}: 请写成 组.名称=值，例如 training.batch_size=4"
    ),
    "cannot read the settings {path}: {why}": "无法读取配置文件 {path}: {why}",
    "device {name}: allowed: auto, cpu, cuda, cuda:N": (
        "设备 {name}: 允许的取值为 auto, cpu, cuda, cuda:N"
    ),
    "device {name}: this machine has {n} GPU(s), counted from 0": (
        "设备 {name}: 本机有 {n} 块 GPU，编号从 0 开始"
    ),
    "CUDA is not available on this machine: using the CPU": "本机没有可用的 CUDA，改用 CPU",
    # --- media
    "file not found: {path}": "找不到文件: {path}",
    "no permission to read {path}": "没有读取权限: {path}",
    "cannot read {path}: {why}; is it a complete media file?": (
        "无法读取 {path}: {why}；请确认它是完整的媒体文件"
    ),
    "{path} has no video stream": "{path} 中没有视频流",
    "{path} has no sound": "{path} 中没有声音",
    "no picture could be decoded": "没有任何画面可以解码",
    "no sound could be decoded": "没有任何声音可以解码",
    "{path}: no video container goes by this name; use .mp4, .mov, .mkv or .webm": (
        "{path}: 没有这种后缀的视频格式；请使用 .mp4、.mov、.mkv 或 .webm"
    ),
    "its time stamps jump by {gap:.0f} s after {at:.1f} s": (
        "时间戳在 {at:.1f} 秒之后跳变 {gap:.0f} 秒"
    ),
    # --- faces and clips
    "{path} breaks off: {read} of {promised} frames could be read; it is damaged or incomplete, "
    "export or download it again": (
        "{path} 中断: {promised} 帧中只读到 {read} 帧；文件已损坏或不完整，请重新导出或下载"
    ),
    "the picture of {path} stands still in {n} of {frames} frames: nobody can be seen speaking": (
        "{path} 的 {frames} 帧中有 {n} 帧画面静止不动: 看不到有人说话"
    ),
    "the faces in {path} are too small: {width} pixels wide, at least {least} are needed "
    "(data.min_face_size)": (
        "{path} 中的人脸太小: 宽 {width} 像素，至少需要 {least} 像素（data.min_face_size）"
    ),
    "{n} of {frames} frames without a face are left out": (
        "{frames} 帧中有 {n} 帧没有人脸，未使用"
    ),
    "other faces left out: {n} (data.track: {track})": (
        "另有 {n} 张人脸未使用（data.track: {track}）"
    ),
    "{n} of {pictures} pictures are damaged": "{pictures} 帧画面中有 {n} 帧损坏",
    "the sound ends {s:.1f} s before the picture": "声音比画面早结束 {s:.1f} 秒",
    "the last {s:.1f} s of the sound have no picture and are left out": (
        "声音最后 {s:.1f} 秒没有画面，未使用"
    ),
    "data.detector: face_alignment could not download its weights ({why}); connect to the "
    "internet once, or set data.detector to retinaface": (
        "data.detector: face_alignment 无法下载权重（{why}）；请联网一次，"
        "或把 data.detector 改为 retinaface"
    ),
    "the sound of {path} is silent throughout": "{path} 的声音全程静音",
    "{path} has only {n} frames; at least {least} are needed": (
        "{path} 只有 {n} 帧；至少需要 {least} 帧"
    ),
    "the sound of {path} lasts only {ms} ms; at least 200 ms are needed": (
        "{path} 的声音只有 {ms} 毫秒；至少需要 200 毫秒"
    ),
    "no face found in {missed} of {looked} frames of {path}; is the face visible, upright and at "
    "least {least} pixels wide?": (
        "未检测到人脸: {path} 检查的 {looked} 帧中有 {missed} 帧没有人脸；"
        "请换用人脸清晰、正立且宽度不小于 {least} 像素的视频"
    ),
    "no face stays long enough in {path}: the longest stretch is {longest} frames, {shortest} are "
    "needed": ("{path} 中人脸连续出现的时间太短: 最长 {longest} 帧，需要 {shortest} 帧"),
    "{n} of {pictures} pictures of {path} are damaged: export or download it again": (
        "{path} 的 {pictures} 帧画面中有 {n} 帧损坏: 请重新导出或下载"
    ),
    "{percent} % of the sound is damaged": "{percent} % 的声音损坏",
    "no sense can be made of its content": "无法识别其内容",
    "it ends too early": "文件过早结束",
    "it asks for more memory than there is": "它要求的内存超出可用内存",
    "it is of a kind no decoder knows": "没有解码器认识这种文件",
    "no decoder knows the format of its {kind}": "没有解码器认识其{kind}的格式",
    "picture": "画面",
    "its sound claims {rate} samples a second": "其声音的采样率标为每秒 {rate}",
    "the file is empty": "文件是空的",
    "a folder": "文件夹",
    "a pipe or a device": "管道或设备",
    "{path} is {kind}, not a file": "{path} 是{kind}，不是文件",
    "{path} is a link that leads nowhere: to {target}": "{path} 是失效的链接: 指向 {target}",
    "--num-shards {n}: at least 1 is needed": "--num-shards {n}: 至少为 1",
    # --- preprocessing
    "nobody speaks while the face is seen in {path}: use clips of people talking": (
        "{path} 中看得到人脸时没有人说话: 请使用正在说话的视频"
    ),
    "Turn clips of talking people into training samples.": "把说话人视频处理成训练样本。",
    "found {n} video files": "找到 {n} 个视频文件",
    "processing videos": "处理视频",
    "Done! {n} samples processed": "处理完成！共处理 {n} 个样本",
    "data saved in: {path}": "数据保存在: {path}",
    "index file: {path}": "索引文件: {path}",
    "no video in {folder}: put clips of talking people there (mp4, avi, mov, mkv, webm, …), and "
    "their sound, if it is apart, into {audios} under the same name": (
        "{folder} 中没有视频: 请把说话人视频（mp4、avi、mov、mkv、webm 等）放进去；"
        "若声音是单独的文件，请以相同文件名放进 {audios}"
    ),
    "the settings have changed since the last run: all clips are processed anew": (
        "配置与上次不同: 将重新处理全部视频"
    ),
    "the old index is made anew: {why}": "将重新生成索引: {why}",
    "no matching audio file: {path} has no sound of its own; put {stem}.wav into {folder}": (
        "未找到对应的音频文件: {path} 本身也没有声音；请把 {stem}.wav 放进 {folder}"
    ),
    "unreadable: {path}: {why}": "无法读取: {path}: {why}",
    "unreadable: the decoder crashed on {path}": "无法读取: 解码 {path} 时解码器崩溃",
    "{n} clips have no audio file of their own: the video's sound was used": (
        "{n} 个视频没有单独的音频文件: 使用视频自带的声音"
    ),
    "stopped; what is finished is kept: run the same command again to go on": (
        "已中断；已完成的部分已保存，再次运行同一命令即可继续"
    ),
    "{n} clips were already done": "{n} 个视频此前已处理，直接沿用",
    "{n} clips skipped (listed in {path}):": "跳过 {n} 个视频（列表见 {path}）:",
    "no usable clip in {folder}: see the reasons above": "{folder} 中没有可用的视频: 原因见上",
    "begin anew where the index was made with other settings": ("索引是用其他配置生成时，重新开始"),
    "drop the samples of clips that are gone from data.video_dir": (
        "删除 data.video_dir 中已不存在的视频的样本"
    ),
    "share the clips out over N runs, on one or several machines": (
        "把视频分给 N 次运行，可在一台或多台机器上"
    ),
    "which of them this is, 0 to N - 1": "本次运行是其中的第几份，0 到 N - 1",
    "join the indexes of all shards, found in these folders (none given: data.processed_dir)": (
        "合并各分片的索引，在这些文件夹中查找（不写则为 data.processed_dir）"
    ),
    "draw crops of what was processed, one speaker after the other, into this .png": (
        "把处理得到的人脸裁剪图按说话人依次画到这个 .png 上"
    ),
    "--num-shards and --shard-index go together": "--num-shards 与 --shard-index 必须一起使用",
    "--shard-index {index}: 0 to {last} are allowed with --num-shards {n}": (
        "--shard-index {index}: --num-shards {n} 时允许 0 到 {last}"
    ),
    "{shown} of {total} samples are shown": "共 {total} 个样本，画出了 {shown} 个",
    "{n} of them are in shard {index} of {shards}": (
        "其中 {n} 个属于分片 {index}（共 {shards} 个分片）"
    ),
    "{n} clips of the index are not in the video folder any more and stay in it (--prune drops "
    "them)": "索引中有 {n} 个视频已不在视频文件夹中，仍予保留（用 --prune 删除）",
    "{n} clips were used in part (listed in {path})": ("{n} 个视频只使用了一部分（列表见 {path}）"),
    "cannot list {path}: {why}": "无法列出 {path}: {why}",
    # --- index and samples
    "{path} has no samples": "{path} 中没有样本",
    "{path}: the name must end in .png": "{path}: 文件名必须以 .png 结尾",
    "{path} was made with data.{name} = {made}, the settings say {value}: choose another "
    "data.processed_dir, or begin anew with --overwrite": (
        "{path} 是用 data.{name} = {made} 生成的，而现在的配置是 {value}: "
        "请换一个 data.processed_dir，或用 --overwrite 重新开始"
    ),
    "{path} was made with data.{name} = {made}, the settings say {value}: its samples cannot be "
    "joined with these": (
        "{path} 是用 data.{name} = {made} 生成的，而现在的配置是 {value}: 它的样本不能合并进来"
    ),
    "no index of a shard in {folders}: run python src/data_processing.py --num-shards N "
    "--shard-index I first": (
        "{folders} 中没有分片索引: 请先运行 python src/data_processing.py "
        "--num-shards N --shard-index I"
    ),
    "shards of several divisions ({divisions}) in {folders}: delete those that are not meant": (
        "{folders} 中有分成不同份数的分片（{divisions}）: 请删除不需要的"
    ),
    "shard {missing} of {shards} is missing in {folders}": (
        "{folders} 中缺少分片 {missing}（共 {shards} 个分片）"
    ),
    "{path} is no folder with indexes of shards": "{path} 不是含有分片索引的文件夹",
    "{path} names {file}, which is not there: copy the folder {samples} along": (
        "{path} 所列的 {file} 不存在: 请把文件夹 {samples} 一起复制过来"
    ),
    "{one} and {other} are the same shard: name only one of their folders": (
        "{one} 与 {other} 是同一个分片: 只写其中一个文件夹"
    ),
    "{path} not found: run python src/data_processing.py first": (
        "找不到 {path}: 请先运行 python src/data_processing.py"
    ),
    "cannot read {path}: {why}": "无法读取 {path}: {why}",
    "{path} is not a sound index ({why}): delete it and run python src/data_processing.py": (
        "{path} 不是完好的索引（{why}）: 请删除它并重新运行 python src/data_processing.py"
    ),
    "no list of samples": "没有样本列表",
    "version {found}, not {known}": "版本为 {found}，应为 {known}",
    "an incomplete sample": "样本记录不完整",
    "{file} lies outside its folder": "{file} 在索引文件夹之外",
    "cannot read the sample {path} ({why}): run python src/data_processing.py again": (
        "无法读取样本 {path}（{why}）: 请重新运行 python src/data_processing.py"
    ),
    "{path} was made with data.{name} = {made}, the settings say {value}: run python "
    "src/data_processing.py --overwrite, or name the data.processed_dir that was made with "
    "these": (
        "{path} 生成时 data.{name} = {made}，而现在的配置是 {value}: "
        "请运行 python src/data_processing.py --overwrite，"
        "或指定用这些配置生成的 data.processed_dir"
    ),
    "{n} usable {what}: at least 3 are needed to train, validate and test; {hint}": (
        "可用的{what}只有 {n} 个: 训练、验证和测试至少需要 3 个；{hint}"
    ),
    "clips": "视频",
    "speakers": "说话人",
    "put each speaker's clips into a folder of data/videos": (
        "请把每位说话人的视频放进 data/videos 下各自的文件夹"
    ),
    "add clips to data/videos and run python src/data_processing.py": (
        "请在 data/videos 中添加视频并运行 python src/data_processing.py"
    ),
    # --- training
    "Train the sync model on the samples of data/processed.": (
        "用 data/processed 中的样本训练模型。"
    ),
    "device: {device}": "使用设备: {device}",
    "number of model parameters: {n:,}": "模型参数数量: {n:,}",
    "loaded {n} samples": "加载了 {n} 个样本",
    "training...": "开始训练...",
    "training samples: {train}, validation samples: {val}, test samples: {test}": (
        "训练样本: {train}, 验证样本: {val}, 测试样本: {test}"
    ),
    "Epoch {epoch}/{total}": "Epoch {epoch}/{total}",
    "train": "训练",
    "validate": "验证",
    "train loss: {loss:.4f}, train accuracy: {acc:.4f}": (
        "训练损失: {loss:.4f}, 训练准确率: {acc:.4f}"
    ),
    "validation loss: {loss:.4f}, validation accuracy: {acc:.4f}": (
        "验证损失: {loss:.4f}, 验证准确率: {acc:.4f}"
    ),
    "learning rate: {rate:.6f}": "学习率: {rate:.6f}",
    "best model saved: {path}": "保存最佳模型: {path}",
    "{path} was trained on other clips or another split of them (training.seed, *_split): clips it "
    "was trained on would be tested on; train anew, without --resume": (
        "{path} 训练时的视频或划分（training.seed、*_split）与现在不同: 训练过的视频会被用来测试；"
        "请去掉 --resume 重新训练"
    ),
    "training.split_by: speaker: {clip} lies in no folder of its speaker; {hint}": (
        "training.split_by: speaker: {clip} 不在任何说话人的文件夹中；{hint}"
    ),
    "resumed from {path} after epoch {epoch}": "从 {path} 继续，已完成 {epoch} 轮",
    "few validation clips: the score is calibrated on them and will be unreliable": (
        "验证视频太少: 分数由它们校准，不太可靠"
    ),
    "stopped after epoch {epoch}; go on with: {command}": (
        "已在第 {epoch} 轮后停止；继续训练: {command}"
    ),
    "{path} holds no training state to go on from ({why})": (
        "{path} 中没有可以继续训练的状态（{why}）"
    ),
    "the GPU has too little memory: lower training.batch_size (now {batch}) or data.input_size "
    "(now {size})": (
        "显存不足: 请调小 training.batch_size（现为 {batch}）或 data.input_size（现为 {size}）"
    ),
    "test split, {n} clips, {path}:": "测试集，{n} 个视频，{path}:",
    "offset accuracy at K = {k} frames: {share:.1%} (of {places} places)": (
        "K = {k} 帧时的偏移准确率: {share:.1%}（共 {places} 处）"
    ),
    "offset accuracy of whole clips: {share:.1%}": "整段视频的偏移准确率: {share:.1%}",
    "median absolute error: {ms:.0f} ms": "绝对误差中位数: {ms:.0f} 毫秒",
    # --- checkpoints
    "go on from this checkpoint; auto: where the last run in paths.checkpoint_dir stopped": (
        "从该检查点继续训练；auto: 从 paths.checkpoint_dir 中上次停下的地方继续"
    ),
    "with --resume: go on at another training.learning_rate": (
        "与 --resume 一起使用: 以另一个 training.learning_rate 继续"
    ),
    "stopped after epoch {epoch} and {batch} steps of the next; go on with: {command}": (
        "已在第 {epoch} 轮后又 {batch} 步处停止；继续训练: {command}"
    ),
    "{path} was trained with {key} = {old}, the settings say {new}: another network cannot go on "
    "from it": "{path} 训练时 {key} = {old}，现在的配置是 {new}: 不同的网络无法继续训练",
    "{path} was trained with {key} = {old}, the settings say {new}: add --change-rate to go on "
    "with that": "{path} 训练时 {key} = {old}，现在的配置是 {new}: 要改用新值请加 --change-rate",
    "changed since: {key}: {old} → {new}": "配置有变: {key}: {old} → {new}",
    "{folder} holds no checkpoint to go on from: leave out --resume": (
        "{folder} 中没有可以继续训练的检查点: 请去掉 --resume"
    ),
    "{path} is not a checkpoint; train one with python src/train.py": (
        "{path} 不是检查点；请用 python src/train.py 训练一个"
    ),
    "{path} is damaged: copy it again, or train one with python src/train.py": (
        "{path} 已损坏: 请重新复制，或用 python src/train.py 训练一个"
    ),
    "{path} is cut off: it was not written or copied to its end": (
        "{path} 不完整: 没有写完或没有复制完"
    ),
    "{path} is not opened: it names {names}, which could run code; a checkpoint of this project "
    "holds tensors and plain values only": (
        "拒绝打开 {path}: 其中引用了 {names}，可能会执行代码；本项目的检查点只含张量和普通数值"
    ),
    "{path} has format version {found}, this program reads version {known}: use the program that "
    "wrote it, or train anew": (
        "{path} 的格式版本是 {found}，本程序读取版本 {known}: 请用写出它的程序，或重新训练"
    ),
    "{path} holds bare weights, without settings and calibration: name the checkpoint they were "
    "taken from, or add --config with their settings": (
        "{path} 只有权重，没有配置和校准: 请指定它们所来自的检查点，或用 --config 给出其配置"
    ),
    "{path} is a file of PyTorch, but not a checkpoint of this project; train one with python "
    "src/train.py": (
        "{path} 是 PyTorch 文件，但不是本项目的检查点；请用 python src/train.py 训练一个"
    ),
    "checkpoint not found: {path}; python src/train.py makes one": (
        "找不到检查点: {path}；请先运行 python src/train.py 训练"
    ),
    "{path} is incomplete: {names} missing": "{path} 不完整: 缺少 {names}",
    "the weights of {path} do not fit the network: model.* or data.input_size differ from those "
    "it was trained with": ("{path} 的权重与网络不符: model.* 或 data.input_size 与训练时不同"),
    # --- inference
    "Score a video and its sound, find the offset and mend it.": (
        "为视频和声音的同步打分，找出偏移并校正。"
    ),
    "the trained model (default: checkpoints/best_model.pth, or the pretrained one)": (
        "训练好的模型（默认 checkpoints/best_model.pth，没有时用预训练模型）"
    ),
    "{n} validation and test samples were trained on before: their figures will be too good; keep "
    "training.seed and the splits": (
        "有 {n} 个验证和测试样本之前训练过: 它们的指标会偏高；请保持 training.seed 和划分不变"
    ),
    "before training: validation loss {loss:.4f}, validation accuracy {acc:.4f}": (
        "训练之前: 验证损失 {loss:.4f}，验证准确率 {acc:.4f}"
    ),
    "the weights begin with those of {path}": "初始权重取自 {path}",
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
    "what they are measured on": "用来评测的索引",
    "--minutes: more than 0": "--minutes: 必须大于 0",
    "figures go here": "结果写到这里",
    "of training, for each": "每个网络的训练分钟数",
    "{minutes:g} minutes each; {clips} clips of {speakers} speakers": (
        "每个训练 {minutes:g} 分钟；{speakers} 位说话人的 {clips} 段视频"
    ),
    "Write a checkpoint without the state of its training, to use and to pass on.": (
        "写出不含训练状态的检查点，便于使用和分发。"
    ),
    "the checkpoint": "检查点",
    "the new file (default: <name>_inference.pth or <name>_weights.pth)": (
        "新文件（默认 <原名>_inference.pth 或 <原名>_weights.pth）"
    ),
    "the same": "同上",
    "name one checkpoint": "请指定一个检查点",
    "only the weights, without their settings": "只要权重，不要配置",
    "delete the checkpoint once the new file was read and compared": (
        "在读回并比对新文件之后删除原检查点"
    ),
    "deleted: {path}": "已删除: {path}",
    "saved: {parts}": "已保存: {parts}",
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
    "file": "文件",
    "format": "格式",
    "written with": "写出时的版本",
    "tensors": "张量",
    "{n} tensors": "{n} 个张量",
    "epoch": "轮次",
    "step": "步",
    "zero": "零点",
    "network": "网络",
    "training": "训练",
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
    "whole clips": "整段视频",
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
    "{path} is not there: using the pretrained model {pretrained}": (
        "{path} 不存在: 改用预训练模型 {pretrained}"
    ),
    "the video": "视频文件",
    "the sound; left out: the video's own": "音频文件；省略时使用视频自带的声音",
    "the mended video (default: <video>_synced in paths.output_dir)": (
        "校正后的视频（默认为 paths.output_dir 中的 <视频名>_synced）"
    ),
    "judge, write no video": "只打分，不写视频",
    "also draw the result as this picture (.png)": "同时把结果画成图片（.png）",
    "print one JSON object": "输出一个 JSON 对象",
    "auto (the default), cpu, cuda or cuda:N": "auto（默认）、cpu、cuda 或 cuda:N",
    "--score-only writes no video: leave out --output": "--score-only 不写视频: 请去掉 --output",
    "{path}: model.*, data.input_size and data.n_mfcc are those it was trained with": (
        "{path}: model.*、data.input_size 和 data.n_mfcc 由训练时决定，不能更改"
    ),
    "{path}: the name must end in one of {suffixes}": (
        "{path}: 文件名须以下列后缀之一结尾: {suffixes}"
    ),
    "too little speech while the face is seen: at least {ms} ms are needed": (
        "看得到人脸时说话太少: 至少需要 {ms} 毫秒"
    ),
    "the offset may lie beyond what was looked at (±{ms} ms): raise inference.max_offset_frames": (
        "偏移可能超出查找范围（±{ms} 毫秒）: 请调大 inference.max_offset_frames"
    ),
    "sync score: {score}": "同步分数: {score}",
    "sync score": "同步分数",
    "undetermined": "无法判断",
    "undetermined: {why}": "无法判断: {why}",
    "verdict: {text}": "结论: {text}",
    "in sync (offset {ms:+.0f} ms)": "同步（偏移 {ms:+.0f} 毫秒）",
    "audio leads by {ms:.0f} ms": "音频超前 {ms:.0f} 毫秒",
    "audio lags by {ms:.0f} ms": "音频滞后 {ms:.0f} 毫秒",
    "audio is in sync; score {before} → {after}": "音频已同步；分数 {before} → {after}",
    "audio led by {ms:.0f} ms, corrected; score {before} → {after}": (
        "音频超前 {ms:.0f} 毫秒，已校正；分数 {before} → {after}"
    ),
    "audio lagged by {ms:.0f} ms, corrected; score {before} → {after}": (
        "音频滞后 {ms:.0f} 毫秒，已校正；分数 {before} → {after}"
    ),
    "offset: {ms:+.1f} ms ({frames:+d} frames); the chance that this is right: {chance:.0%}": (
        "偏移: {ms:+.1f} 毫秒（{frames:+d} 帧）；判断正确的概率: {chance:.0%}"
    ),
    "confidence (LSE-C): {c:.3f}, minimum distance (LSE-D): {d:.3f}": (
        "置信度 (LSE-C): {c:.3f}，最小距离 (LSE-D): {d:.3f}"
    ),
    "note: {text}": "说明: {text}",
    "face seen in {share:.0%} of {seconds:.1f} s": (
        "人脸可见比例: {share:.0%}（共 {seconds:.1f} 秒）"
    ),
    "nobody speaks while the face is seen": "画面中有人脸的时段内没有检测到语音",
    "the mouth and the sound show no clear relation": "口型与声音之间看不出明确的对应关系",
    "nothing changed: {why}": "未作改动: {why}",
    "nothing written: {why}": "未写出结果: {why}",
    "after the correction, {why}": "校正之后，{why}",
    "the corrected sound still measures {ms:+.0f} ms": "校正后的声音测得仍有 {ms:+.0f} 毫秒",
    "the output {path} is an input: choose another name": "输出 {path} 就是输入文件: 请换一个名称",
    "the output {path} is a folder: name a file": "输出 {path} 是文件夹: 请指定文件名",
    "output: {path}": "输出: {path}",
    "picture: {path}": "图片: {path}",
    # --- pictures
    "offset: the sound delayed by … ms (> 0: the sound leads)": (
        "偏移: 声音需延后的毫秒数（> 0: 声音超前）"
    ),
    "similarity of mouth and sound": "口型与声音的相似度",
    "score by second": "每秒分数",
    "time in s": "时间（秒）",
    "sound": "声音",
    # --- the demo and its talking faces
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
    "clip": "视频",
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
    # --- own offsets
    "Find the own offset of every sample, so that training reads them in sync.": (
        "找出每个样本自身的音画偏移，使训练读到的样本都是同步的。"
    ),
    "{n} speakers (or clips without a speaker): at least {folds} are needed, one for each fold": (
        "只有 {n} 位说话人（或未注明说话人的片段）：至少需要 {folds} 位，每折一位"
    ),
    "round {n}, fold {fold} of {folds}: training on {train} samples, then measuring {held_out}": (
        "第 {n} 轮，第 {fold}/{folds} 折: 用 {train} 个样本训练，再测量 {held_out} 个样本"
    ),
    "epoch {epoch}/{total}: loss {loss:.4f}, accuracy {acc:.4f}": (
        "epoch {epoch}/{total}: 损失 {loss:.4f}，准确率 {acc:.4f}"
    ),
    "round {n}: {known} of {all} samples show where they are in sync": (
        "第 {n} 轮: {all} 个样本中有 {known} 个能看出同步位置"
    ),
    "half of them moved by less than {ms:.1f} ms": "其中一半的变动小于 {ms:.1f} 毫秒",
    "the index holds the offsets now; table and picture: {folder}": (
        "偏移已写入索引；表格和图: {folder}"
    ),
    "cannot read {path}: {why}; delete it and run the command again": (
        "无法读取 {path}: {why}；请删除它并重新运行该命令"
    ),
    # --- evaluation
    "Measure a checkpoint on the samples of an index, by the field's test protocol.": (
        "按本领域的测试协议，在索引的样本上评测一个检查点。"
    ),
    "dataset_index.pkl": "dataset_index.pkl",
    "own offsets (and speakers) of the clips: columns path, offset_ms, speaker": (
        "片段自身偏移（及说话人）的表格: 列 path、offset_ms、speaker"
    ),
    "pictures go here": "图片输出到此文件夹",
    "cpu, cuda or auto": "cpu、cuda 或 auto",
    "measuring": "评测",
    "{path}: a table with the columns path and {column} is needed": (
        "{path}: 需要带有 path 和 {column} 两列的表格"
    ),
    "{path}: {value} is no offset in ms": "{path}: {value} 不是以毫秒计的偏移",
    "{path}: several rows could be {clip}, with different offsets": (
        "{path}: 有多行可能是 {clip}，但偏移不同"
    ),
    "no sample shows where it is in sync: more clips of people talking are needed, or more "
    "cleaning.epochs; the index stays as it is": (
        "没有样本能看出同步位置: 需要更多有人说话的片段，或更大的 cleaning.epochs；索引保持不变"
    ),
    "{n} samples do not show where they are in sync (clean_offsets): left out": (
        "{n} 个样本看不出同步位置（clean_offsets），不参与训练"
    ),
    "{path} is there and leads elsewhere: remove it, or choose another data.video_dir": (
        "{path} 已存在且指向别处: 请删除它，或更换 data.video_dir"
    ),
    "{folder} was made with other settings: choose another --output": (
        "{folder} 是用其他设置生成的: 请更换 --output"
    ),
    "{path} has no rows": "{path} 中没有任何行",
    "{clips} clips of {speakers} speakers; in brackets the 95 % interval over speakers": (
        "{clips} 个片段，{speakers} 位说话人；方括号内为按说话人抽样的 95 % 区间"
    ),
    "no clip's own offset is known: 0 is taken for the truth": (
        "没有任何片段的自身偏移是已知的: 以 0 为真值"
    ),
    "  of {counted} places, {silent} silent": "  共 {counted} 处，另有 {silent} 处无语音",
    "by source": "按来源",
    "by speaker": "按说话人",
    "offset not known, 0 taken": "偏移未知，以 0 计",
    # --- tools/link_by_speaker.py
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
    # --- benchmarks/ablations.py
    "Train and measure every row of the table of ablations.": "训练并评测消融表的每一行。",
    "the table (YAML)": "表格（YAML）",
    "networks and figures go here": "网络和结果的输出文件夹",
    "{path} is no table of rows: {why}": "{path} 不是有效的消融表: {why}",
    "the training in {folder} failed": "{folder} 中的训练失败",
    "validation: {clips} clips of {speakers} speakers": (
        "验证集: {clips} 个片段，{speakers} 位说话人"
    ),
    # --- benchmarks/preprocessing.py
    "Measure how fast clips become samples.": "测量把片段处理成样本的速度。",
    "no face in the middle of the first seconds of {path}": "{path} 开头几秒的中间没有人脸",
    "a clip of your own (default: one made on the spot)": "自己的片段（默认现场生成一个）",
    "length of the clip made": "生成片段的长度",
    "runs; their median counts": "重复次数；取中位数",
    "whole step, {n} processes: {frames:.0f} frames/s, {speed:.1f} × real time "
    "({least:.1f} to {most:.1f})": (
        "整个步骤，{n} 个进程: {frames:.0f} 帧/秒，{speed:.1f} 倍实时（{least:.1f} 至 {most:.1f}）"
    ),
}
