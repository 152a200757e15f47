/* Files that are whole or not there: written beside their target, flushed to disk and renamed.
 *
 * Until cnn_file_commit has succeeded the target is untouched; after any failure no temporary is left.
 * A target that exists keeps its mode, and its owner where the system lets it. A symbolic link stays one:
 * what it leads to is replaced. A device or pipe (/dev/stdout) has nothing to replace and is written
 * directly. */
#ifndef CNN_BASE_FILE_H
#define CNN_BASE_FILE_H

#include "cnn.h"

typedef struct cnn_file {
    FILE *stream;
    char *path, *temporary; /* temporary: the file being written, in the target's folder; NULL for a device */
    unsigned mode;          /* permissions the finished file gets */
} cnn_file;

cnn_status cnn_file_create(cnn_file *file, const char *path);
/* Flushes, fsyncs, renames over path; on any failure removes the temporary and leaves the old file. */
cnn_status cnn_file_commit(cnn_file *file);
/* Removes the temporary. A zeroed, committed or abandoned file may be abandoned again. */
void cnn_file_abandon(cnn_file *file);

/* A temporary's name beside path, for libraries that want a name instead of a stream, and its commit. The
 * temporary exists, empty; the library may write to it or put another file in its place. */
cnn_status cnn_file_reserve(cnn_file *file, const char *path); /* stream stays NULL */

#endif
