/* Bytes to read: a regular file, or memory that stands for one. Where files come from others, reading by place and
 * length leaves every check in one spot: nothing beyond the end is ever read. */
#ifndef CNN_IO_SOURCE_H
#define CNN_IO_SOURCE_H

#include "cnn.h"

typedef struct cnn_source {
    const char *name;     /* for messages; borrowed */
    const uint8_t *bytes; /* NULL: a file */
    int file;
    uint64_t size;
} cnn_source;

/* CNN_ERROR_IO if the file is not there or is a folder, a device, a pipe. name stays the caller's path. */
cnn_status cnn_source_open(cnn_source *source, const char *path);
void cnn_source_close(cnn_source *source);

/* The size bytes from a place on; CNN_ERROR_FORMAT if they are not all there. Ends early on cnn_interrupt. */
cnn_status cnn_source_read(const cnn_source *source, void *out, uint64_t from, size_t size);

#endif
