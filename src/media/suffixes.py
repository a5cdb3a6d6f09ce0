"""Which files are taken for video and audio, by their suffix."""

# Containers that can be written.
OUTPUT_SUFFIXES = {
    ".mp4", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".flv", ".m4v", ".ts", ".wmv",
    ".3gp", ".mts", ".m2ts", ".m2t", ".3g2",
}  # fmt: skip
# Those of cameras, discs, broadcasting and older programs can only be read.
VIDEO_SUFFIXES = OUTPUT_SUFFIXES | {
    ".mxf", ".vob", ".f4v", ".asf", ".divx", ".dv", ".gxf", ".m1v", ".m2p", ".m2v", ".mjpg",
    ".mod", ".mp4v", ".mpe", ".mpv", ".nut", ".ogm", ".ogv", ".ps", ".qt", ".rm", ".rmvb", ".tod",
    ".trp", ".wtv", ".xvid",
}  # fmt: skip
AUDIO_SUFFIXES = (
    ".wav", ".mp3", ".m4a", ".flac", ".aac", ".ogg", ".opus", ".wma", ".aiff", ".aif", ".aifc",
    ".caf", ".mka", ".oga", ".bwf", ".w64", ".rf64", ".au", ".snd", ".ac3", ".eac3", ".dts", ".amr",
    ".awb", ".ape", ".wv", ".tta", ".tak", ".mp2", ".mpa", ".m4b", ".m4r", ".spx", ".weba", ".3ga",
)  # fmt: skip
