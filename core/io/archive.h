/* Zip archives, as .keras and .npz files are. */
#ifndef CNN_IO_ARCHIVE_H
#define CNN_IO_ARCHIVE_H

#include "cnn.h"

typedef struct cnn_archive cnn_archive;

typedef struct cnn_member {
    const char *name; /* UTF-8 */
    const void *bytes;
    size_t size;
    const void *head; /* what goes before bytes; NULL: nothing */
    size_t head_size;
} cnn_member;

/* Writes the members, one at least and of different names, as a new file, whole or not at all; compress: deflate them,
 * else store them as they are. The same members give the same bytes. */
cnn_status cnn_archive_write(const char *path, const cnn_member *members, int count, bool compress);

/* CNN_ERROR_FORMAT if the file is no archive or damaged. */
cnn_status cnn_archive_open(cnn_archive **out, const char *path);
void cnn_archive_close(cnn_archive *archive); /* NULL is fine */
int cnn_archive_count(const cnn_archive *archive);
const char *cnn_archive_name(const cnn_archive *archive, int index); /* borrowed */
int cnn_archive_find(const cnn_archive *archive, const char *name);  /* -1 if there is none */

/* A member's bytes, checked against their CRC-32 (cnn_free), with a NUL after the last. No more is allocated than what
 * deflate can make of the file's size, however large the member says it is. */
cnn_status cnn_archive_read(void **bytes, size_t *size, cnn_archive *archive, int index);

#endif
