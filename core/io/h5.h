/* HDF5 files as trees in memory: groups, attributes and datasets, as far as Keras's files use them.
 *
 * Reading. The HDF5 library can be brought down by a damaged file, so a child process runs it: it sends the tree through
 * a pipe, and what becomes of the child is an error here and no more. The child's memory and time are bounded; so is
 * what is taken from it: names and values together at most 1,100 bytes for each byte of the file (deflate's best is
 * 1,032), or 64 MiB if that is more (CNN_H5_MOST_TIMES, CNN_H5_MOST_FREE).
 * Writing. The library makes the file's image in memory; the image then becomes a file, whole or not at all. */
#ifndef CNN_IO_H5_H
#define CNN_IO_H5_H

#include "cnn.h"

enum {
    CNN_H5_MOST_TIMES = 1100,
    CNN_H5_MOST_FREE = 64 << 20,
    CNN_H5_DEEPEST = 64,          /* groups within groups */
    CNN_H5_MOST_ATTRIBUTES = 4096 /* of one group or dataset */
};

/* Numbers of other widths are read as the next type here that holds them; float64 is rounded to float32. */
typedef enum cnn_h5_type { CNN_H5_FLOAT32, CNN_H5_INT64, CNN_H5_UINT32, CNN_H5_STRING } cnn_h5_type;

typedef struct cnn_h5_value {
    cnn_h5_type type;
    int rank; /* 0: a scalar */
    int64_t shape[CNN_MAX_RANK];
    int64_t count;
    cnn_tensor *tensor; /* CNN_H5_FLOAT32 */
    int64_t *integers;  /* CNN_H5_INT64 and CNN_H5_UINT32: [count] */
    char **strings;     /* CNN_H5_STRING: [count], UTF-8, each NUL-terminated */
} cnn_h5_value;

typedef struct cnn_h5_attribute {
    char *name;
    cnn_h5_value value;
} cnn_h5_attribute;

typedef struct cnn_h5_node {
    char *name;          /* "" of the root */
    cnn_h5_value *value; /* of a dataset; NULL: this is a group */
    int child_count, attribute_count;
    struct cnn_h5_node **children; /* in the order of the file */
    cnn_h5_attribute *attributes;
} cnn_h5_node;

/* ---- files --------------------------------------------------------------------------------------------------- */

/* A file's tree, or that of its bytes in memory (name: for messages). CNN_ERROR_FORMAT if it is not HDF5 or damaged;
 * CNN_ERROR_INTERRUPTED on cnn_interrupt. Links out of the file are not followed; what has no numbers or strings
 * (references, compounds) is left out. */
cnn_status cnn_h5_read(cnn_h5_node **root, const char *path);
cnn_status cnn_h5_read_bytes(cnn_h5_node **root, const char *name, const void *bytes, size_t size);

/* The tree as the bytes of an HDF5 file (cnn_free), and as a file. */
cnn_status cnn_h5_bytes(void **bytes, size_t *size, const cnn_h5_node *root);
cnn_status cnn_h5_write(const cnn_h5_node *root, const char *path);

/* ---- trees --------------------------------------------------------------------------------------------------- */

cnn_status cnn_h5_new(cnn_h5_node **root);
void cnn_h5_free(cnn_h5_node *root); /* NULL is fine */

/* The node at a path like "layers/conv2d/vars"; NULL if there is none. A backslash in a name separates as '/' does:
 * Keras has written such names on Windows. */
cnn_h5_node *cnn_h5_find(const cnn_h5_node *from, const char *path);

/* The attribute's value, or NULL. A list that was too long for one attribute and split over name0, name1, … (as Keras
 * does) is put together when the file is read, and split again when it is written. */
const cnn_h5_value *cnn_h5_get(const cnn_h5_node *node, const char *name);
/* The attribute as one string; NULL if there is none or it is something else. */
const char *cnn_h5_text(const cnn_h5_node *node, const char *name);

/* Adding: groups on the way are made; an existing dataset or attribute of the name is replaced. */
cnn_status cnn_h5_group(cnn_h5_node **borrowed, cnn_h5_node *from, const char *path);
cnn_status cnn_h5_add_tensor(cnn_h5_node *from, const char *path, cnn_tensor *tensor); /* float32; retained */
cnn_status cnn_h5_add_integers(cnn_h5_node *from, const char *path, cnn_h5_type type, int rank,
                               const int64_t *shape, const int64_t *integers);
cnn_status cnn_h5_set_text(cnn_h5_node *node, const char *name, const char *text);
/* A list of strings; an empty one becomes the empty array of float64 that h5py makes of it. */
cnn_status cnn_h5_set_list(cnn_h5_node *node, const char *name, const char *const *strings, int count);

#endif
