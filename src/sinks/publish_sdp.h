/* SPDX-License-Identifier: MIT */
/*
 * The session description (RFC 4566) that a player of an RTP stream needs, as a file and in the log.
 * Threads: any.
 */
#pragma once

/* Writes `text` to NAME-PORT.sdp in the current folder or, where that is not writable, in
 * $RUNTIME_DIRECTORY or $XDG_RUNTIME_DIR; says so, and logs the text. `shown`: the stream's URL. */
void publish_sdp_tell(const char *text, const char *shown, const char *name, int port);
