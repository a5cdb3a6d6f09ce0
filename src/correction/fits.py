"""What becomes of a video and corrected audio that are not equally long, by name."""

# pad: the whole video; longer audio is cut at its end, shorter audio padded with silence. trim:
# the video, too, is cut where shorter audio ends. loop: the video repeats until the audio ends.
FITS = ("pad", "trim", "loop")
