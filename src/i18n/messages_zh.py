"""Chinese messages: English text as written in ``tr(...)`` -> Chinese, places in braces kept."""

from .messages_zh_report import OF_REPORT
from .messages_zh_tools import OF_TOOLS

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
    "view names one part, or one for each of the members": "view 应为一个部位，或为每个成员各一个",
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
    "face {face}: there is none; speaking, largest, or a number from 0 to {last}": (
        "没有编号为 {face} 的人脸；可用 speaking、largest，或 0 到 {last} 的编号"
    ),
    "shot {number} ({first:.1f}–{last:.1f} s) is left out: who speaks is not in the picture": (
        "第 {number} 个镜头（{first:.1f}–{last:.1f} 秒）不计入: 说话的人不在画面中"
    ),
    "other faces left out: {n} (data.track: {track})": (
        "另有 {n} 张人脸未使用（data.track: {track}）"
    ),
    "{n} of {pictures} pictures are damaged": "{pictures} 帧画面中有 {n} 帧损坏",
    "the sound ends {s:.1f} s before the picture": "声音比画面早结束 {s:.1f} 秒",
    "the last {s:.1f} s of the sound come after the picture and are not compared": (
        "声音最后 {s:.1f} 秒在画面结束之后，未参与比对"
    ),
    "the last {s:.1f} s of the sound are cut, as the picture ends before them": (
        "声音最后 {s:.1f} 秒已截去，因为画面在此之前结束"
    ),
    "data.detector: face_alignment could not download its weights ({why}); connect to the "
    "internet once, or set data.detector to retinaface": (
        "data.detector: face_alignment 无法下载权重（{why}）；请联网一次，"
        "或把 data.detector 改为 retinaface"
    ),
    "the sound of {path} is silent throughout": "{path} 的声音全程静音",
    "{path} has only {n} of the {least} frames that are needed": (
        "{path} 只有 {n} 帧；至少需要 {least} 帧"
    ),
    "the sound of {path} lasts only {ms} ms; at least 200 ms are needed": (
        "{path} 的声音只有 {ms} 毫秒；至少需要 200 毫秒"
    ),
    "no face found in {missed} of {frames} frames of {path}; is the face visible, upright and at "
    "least {least} pixels wide?": (
        "未检测到人脸: {path} 的 {frames} 帧中有 {missed} 帧没有人脸；"
        "请换用人脸清晰、正立且宽度不小于 {least} 像素的视频"
    ),
    "no face stays long enough in {path}: the longest stretch has {longest} of the {shortest} "
    "frames that are needed": (
        "{path} 中人脸连续出现的时间太短: 最长 {longest} 帧，需要 {shortest} 帧"
    ),
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
    "model.{name}: {value}, as in {path}": "model.{name}: {value}，与 {path} 相同",
    "learning rate: {rate:.6f}": "学习率: {rate:.6f}",
    "best model saved: {path}": "保存最佳模型: {path}",
    "{path} was trained on other clips or another split of them (training.split_seed, *_split): "
    "clips it was trained on would be tested on; train anew, without --resume": (
        "{path} 训练时的视频或划分（training.split_seed、*_split）与现在不同: "
        "训练过的视频会被用来测试；请去掉 --resume 重新训练"
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
    "training.split_seed and the splits": (
        "有 {n} 个验证和测试样本之前训练过: 它们的指标会偏高；请保持 training.split_seed 和划分不变"
    ),
    "before training: validation loss {loss:.4f}, validation accuracy {acc:.4f}": (
        "训练之前: 验证损失 {loss:.4f}，验证准确率 {acc:.4f}"
    ),
    "the weights begin with those of {path}": "初始权重取自 {path}",
    "the checkpoint": "检查点",
    "the same": "同上",
    "name one checkpoint": "请指定一个检查点",
    "file": "文件",
    "format": "格式",
    "epoch": "轮次",
    "step": "步",
    "training": "训练",
    "whole clips": "整段视频",
    "{path} is not there: using the pretrained model {pretrained}": (
        "{path} 不存在: 改用预训练模型 {pretrained}"
    ),
    "the video": "视频文件",
    "the sound; left out: the video's own": "音频文件；省略时使用视频自带的声音",
    "the mended video (default: <video>_synced in paths.output_dir); of many pairs: their folder": (
        "校正后的视频（默认为 paths.output_dir 中的 <视频名>_synced）；批量时为输出文件夹"
    ),
    "many pairs: a list with the columns video,audio": "批量: 含 video,audio 两列的清单",
    "many pairs: all videos of a folder": "批量: 文件夹中的所有视频",
    "which of these sounds belongs to the video": "找出哪段音频属于这个视频",
    "which of these videos the sound belongs to": "找出音频属于哪个视频",
    "with --video-dir: sounds of the same names": "与 --video-dir 合用: 同名的音频",
    "of many pairs: the table of results (default: summary.csv there)": (
        "批量: 结果表（默认为输出文件夹中的 summary.csv）"
    ),
    "of many pairs: processes; 0: one for each core": "批量: 进程数；0: 每个核一个",
    "{names}: only with {what}": "{names}: 只能与 {what} 合用",
    "--find-audio, --find-video: name one file, and those it may belong to": (
        "--find-audio、--find-video: 请给出一个文件和若干候选文件"
    ),
    "--find-audio, --find-video write no video: leave out --output": (
        "--find-audio、--find-video 不写视频: 请去掉 --output"
    ),
    "--fit: only where a video is written": "--fit: 只用于写出视频时",
    "--workers: 0 or more": "--workers: 不能小于 0",
    "pairs": "批量",
    "{done} of {n} pairs, table: {path}": "{n} 对中完成 {done} 对，结果表: {path}",
    "what belongs to {path}, the best first:": "与 {path} 相配的，最好的在前:",
    "offset {ms:+.0f} ms, chance {chance:.0%}, confidence {confidence:.3f}": (
        "偏移 {ms:+.0f} 毫秒，可信概率 {chance:.0%}，置信度 {confidence:.3f}"
    ),
    "the list {path} is missing": "找不到清单 {path}",
    "{path} lists nothing: a line is video,audio": "{path} 是空的: 每行应为 video,audio",
    "{path}: a line names no video: {line}": "{path}: 有一行没有视频: {line}",
    "{path} is no CSV table": "{path} 不是 CSV 表",
    "{path} is not a summary of this program: choose another --summary": (
        "{path} 不是本程序的结果表: 请用 --summary 另选文件名"
    ),
    "there is no folder {path}: name with --video-dir the one with the videos": (
        "没有文件夹 {path}: 请用 --video-dir 给出视频所在的文件夹"
    ),
    "there is no folder {path}: name with --audio-dir the one with the sounds, or leave it out to "
    "use the videos' own": (
        "没有文件夹 {path}: 请用 --audio-dir 给出声音所在的文件夹，或去掉它以使用视频自带的声音"
    ),
    "no sound in {audios} has the name of a video in {videos}, such as {example}.wav: rename them, "
    "or leave out --audio-dir to use the videos' own": (
        "{audios} 中没有与 {videos} 中视频同名的声音（例如 {example}.wav）: 请改名，或去掉 "
        "--audio-dir 以使用视频自带的声音"
    ),
    "{n} of {all} videos have no sound of their name in {folder} and are taken with their own: "
    "{names}": "{all} 个视频中有 {n} 个在 {folder} 中没有同名的声音，使用其自带的声音: {names}",
    "workers = {n}: 0 or more, in whole numbers": "workers = {n}: 应为不小于 0 的整数",
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
    "looking for faces": "寻找人脸",
    "comparing mouth and sound": "比对口型与声音",
    (
        "the sound drifts by {ppm:+.0f} ppm, and at {second:.0f} s further than ±{ms} ms: cut "
        "the video into parts"
    ): "声音漂移 {ppm:+.0f} ppm，在第 {second:.0f} 秒已超过 ±{ms} 毫秒：请把视频分成几段",
    (
        "the sound drifts by {ppm:+.0f} ppm, and at {second:.0f} s further than was looked at "
        "(±{ms} ms): set inference.max_offset_frames={frames}"
    ): (
        "声音漂移 {ppm:+.0f} ppm，在第 {second:.0f} 秒超出查找范围（±{ms} 毫秒）："
        "请设置 inference.max_offset_frames={frames}"
    ),
    (
        "{first:.0f}–{last:.0f} s: mouth and sound do not belong together at this offset; it "
        "is another voice, or the offset lies beyond what was looked at (±{ms} ms: "
        "inference.max_offset_frames)"
    ): (
        "{first:.0f}–{last:.0f} 秒：在此偏移下口型与声音不相符；可能是别人的声音，"
        "或偏移超出查找范围（±{ms} 毫秒：inference.max_offset_frames）"
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
    "the sound drifts by {ppm:+.0f} ppm or more; clocks that are wrong by more than {most} ppm "
    "cannot be told": ("声音的漂移为 {ppm:+.0f} ppm 或更多；时钟误差超过 {most} ppm 时无法测定"),
    "{first:.0f}–{last:.0f} s: these seconds show {ms:+.0f} ms by themselves, not the offset that "
    "is told": "{first:.0f}–{last:.0f} 秒: 这几秒单独测得 {ms:+.0f} 毫秒，与给出的偏移不符",
    "{first:.0f}–{last:.0f} s: these seconds still measure {ms:+.0f} ms after the correction": (
        "{first:.0f}–{last:.0f} 秒: 校正后这几秒测得仍有 {ms:+.0f} 毫秒"
    ),
    "audio drifts by {ppm:+.0f} ppm, from {first:+.0f} to {last:+.0f} ms": (
        "音频时钟漂移 {ppm:+.0f} ppm，偏移从 {first:+.0f} 到 {last:+.0f} 毫秒"
    ),
    "audio jumps ({offsets} ms)": "音频偏移有跳变（{offsets} 毫秒）",
    "audio lags by {ms:.0f} ms": "音频滞后 {ms:.0f} 毫秒",
    "audio drifted by {ppm:+.0f} ppm, corrected; score {before} → {after}": (
        "音频时钟漂移 {ppm:+.0f} ppm，已校正；分数 {before} → {after}"
    ),
    "audio jumped ({offsets} ms), corrected piece by piece; score {before} → {after}": (
        "音频偏移有跳变（{offsets} 毫秒），已分段校正；分数 {before} → {after}"
    ),
    "whose mouth is compared: who speaks (the default), the largest face, or that of a number "
    "that --json lists": "比较谁的口型: 说话的人（默认）、最大的人脸，或 --json 列出的编号",
    "too little to be noticed": "不易察觉",
    "noticeable, but acceptable": "可察觉，但可接受",
    "not acceptable": "不可接受",
    "{moved}: {how} (ITU-R BT.1359)": "{moved}：{how}（ITU-R BT.1359）",
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
    # --- mending
    "fit {fit}: allowed: {known}": "fit {fit}: 允许的取值: {known}",
    "the picture was encoded anew: a {suffix} file cannot take over the {codec} of this video as "
    "it is": "画面已重新编码: {suffix} 文件无法原样收入此视频的 {codec} 画面",
    "{track} is kept as it is": "{track} 保持原样",
    "{track} is encoded anew: the output cannot hold it": "{track} 已重新编码: 输出不支持原编码",
    "{track} is moved like the first one": "{track} 与第一条声音一同移动",
    "{track} is left out: it cannot be decoded": "{track} 未保留: 无法解码",
    "{track} is left out: the output cannot hold it": "{track} 未保留: 输出格式不支持",
    "{track} is converted to {codec}": "{track} 已转换为 {codec}",
    "picture track": "画面轨",
    "cover picture": "封面图",
    "sound track": "音轨",
    "subtitle track": "字幕轨",
    "attached file": "附件",
    "data track": "数据轨",
    "the sound has {now} samples a second instead of {before}: {suffix} files hold no more": (
        "声音采样率由 {before} 变为 {now}: {suffix} 文件最多只支持这么多"
    ),
    "the sound has {now} channels instead of {before}: {suffix} files hold no more": (
        "声音声道数由 {before} 变为 {now}: {suffix} 文件最多只支持这么多"
    ),
    "the chapters are left out: the output cannot hold them": "章节未保留: 输出格式不支持",
    "the title is left out: the output cannot hold it": "标题未保留: 输出格式不支持",
    "it came out with {found} pictures instead of {expected}": (
        "写出的画面为 {found} 帧，应为 {expected} 帧"
    ),
    "it came out {found:.2f} s long instead of {expected:.2f} s": (
        "写出的时长为 {found:.2f} 秒，应为 {expected:.2f} 秒"
    ),
    "a sound of another length: cut or continued with silence under the whole picture (pad, the "
    "default); the picture cut where the sound ends (trim); the picture shown again until the "
    "sound ends (loop)": (
        "声音与画面长度不同时: 画面完整，声音截断或补静音（pad，默认）；画面截到声音结束处"
        "（trim）；画面重复播放直到声音结束（loop）"
    ),
    # --- pictures
    "offset: the sound delayed by … ms (> 0: the sound leads)": (
        "偏移: 声音需延后的毫秒数（> 0: 声音超前）"
    ),
    "similarity of mouth and sound": "口型与声音的相似度",
    "score by second": "每秒分数",
    "time in s": "时间（秒）",
    "sound": "声音",
    "clip": "视频",
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
    "a sample rate of {rate} Hz: it must be a whole number from {least} to {most}": (
        "采样率 {rate} Hz: 必须是 {least} 至 {most} 的整数"
    ),
    "{name} must be at least {least}": "{name} 至少为 {least}",
    "the stream has ended (flush): begin a new one": "流已结束（flush）: 请新建一个",
    "time goes backwards: {t:.3f} s after {last:.3f} s; push pictures and sound in the order of "
    "their times, or begin a new stream": (
        "时间倒退: {last:.3f} 秒之后是 {t:.3f} 秒；请按时间顺序送入画面和声音，或新建一个流"
    ),
    "time jumps to {t:.3f} s: pictures and sound need one clock, and after a gap of more than "
    "{s} s a new stream": (
        "时间跳到 {t:.3f} 秒: 画面和声音须用同一时钟；中断超过 {s} 秒后请新建一个流"
    ),
    "pictures must be uint8 BGR [n, height, width, 3], not {kind} {shape}": (
        "画面必须是 uint8 BGR [n, 高, 宽, 3]，而不是 {kind} {shape}"
    ),
    "{n} pictures need {n} times in seconds, not {times}": (
        "{n} 幅画面需要 {n} 个以秒计的时间，而不是 {times}"
    ),
    "the sound must be finite float32 samples [n] of one channel, not {kind} {shape}": (
        "声音必须是单声道、有限值的 float32 采样 [n]，而不是 {kind} {shape}"
    ),
    "the sound needs the time of its first sample in seconds, not {t}": (
        "声音需要第一个采样的时间（秒），而不是 {t}"
    ),
    **OF_REPORT,
    **OF_TOOLS,
}
