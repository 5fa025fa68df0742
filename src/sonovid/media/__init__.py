"""Reading and writing media files.

Formats: mp4, mov, mkv, webm, mxf, avi, gif, apng, webp, wav, flac, mp3, ogg and image sequences <-> `Clip`.

probe                       reads what a file contains, from its header and first frame
read                        reads a file as a `Clip` at a given frame rate, size and sample rate, with video and audio aligned by
                            timestamps
stream_frames               iterates over the frames of a file in constant memory
read_as_decoded             reads the audio of a file in decoding order and ignores timestamps, as most published evaluations do
write                       writes a `Clip` as mp4, mov, mkv, wav or flac; video and audio have equal length; a partial file is
                            never left behind
open_writer                 writes the same file chunk by chunk, in constant memory
mux                         copies the video of a file and gives it another audio track
replace_video               copies the audio of a file, where possible, and gives it another video track
Source                      a file with a time range and limits, or an image sequence with a frame rate; accepted as a path is
progress.progress_callback  reports the progress of reading and writing
Limits                      limits on what a file may demand of this machine
MediaError                  raised for every fault of a media file, with a one-line message
"""

from sonovid.core import renamed
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
    "open_writer",
    "probe",
    "read",
    "read_as_decoded",
    "replace_video",
    "stream_frames",
    "write",
]

__getattr__ = renamed.attributes(__name__, {"replace_pictures": "replace_video", "streaming": "open_writer"})
