"""The one door to media files that people bring: mp4, mov, mkv, webm, mxf, avi, gif, apng, webp, wav, flac, mp3, ogg,
numbered pictures <-> Clip.

probe           what a file holds, from its header and first picture
read            a file -> Clip, at a wished rate, size and sample rate; pictures by time stamps, sound in step with them
stream_frames   the pictures of a file one after the other, in memory that does not grow with its length
read_as_decoded  the sound of a file alone, its time stamps passed over, as most published measurements hear it
write           Clip -> mp4, mov, mkv, wav or flac; pictures and sound of exactly the same length; never half a file
streaming       the same, piece by piece as a clip is made, in memory that does not grow with its length
mux             somebody's own pictures, copied untouched, with another sound
replace_pictures  somebody's own sound, copied where it can be, with other pictures
Source          a file with the part of it that is read, or numbered pictures at a rate; taken in place of a path
progress.reporting  calls back as files are read and written
Limits          what a file may at most ask of this machine
MediaError      every fault of a file, in one line
"""

from sonovid.media.decoded_audio import read_as_decoded
from sonovid.media.files import Limits, MediaError
from sonovid.media.frame_stream import FrameStream, stream_frames
from sonovid.media.info import MediaInfo, probe
from sonovid.media.reader import read
from sonovid.media.remux import mux, replace_video
from sonovid.media.source import Source
from sonovid.media.stream_writer import open_writer
from sonovid.media.writer import write

__all__ = [
    "FrameStream",
    "Limits",
    "MediaError",
    "MediaInfo",
    "Source",
    "mux",
    "probe",
    "read",
    "read_as_decoded",
    "replace_video",
    "stream_frames",
    "open_writer",
    "write",
]
