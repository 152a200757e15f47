/* What the files behind io/h5.h share: how trees grow, the lock around the HDF5 library, and the stream in which a
 * child process tells its parent a tree. */
#ifndef CNN_IO_H5_INNER_H
#define CNN_IO_H5_INNER_H

#include "io/h5.h"

/* ---- trees: on success what is given is taken over, else it stays the caller's --------------------------------- */

cnn_status cnn_h5_node_new(cnn_h5_node **out, const char *name, size_t length);
cnn_status cnn_h5_append(cnn_h5_node *parent, cnn_h5_node *child);
cnn_status cnn_h5_append_attribute(cnn_h5_node *node, char *name, const cnn_h5_value *value);

/* What a value holds; its strings are one block, the pointers first. */
void cnn_h5_value_clear(cnn_h5_value *value);
/* Strings from the values of several lists, in order, as one list of rank 1. */
cnn_status cnn_h5_join(cnn_h5_value *out, const cnn_h5_value *const *lists, int count);

/* ---- the library ----------------------------------------------------------------------------------------------- */

/* The library is not safe for threads. A fork holds the lock too, so that no child begins with the library halfway
 * through something. */
void cnn_h5_lock(void);
void cnn_h5_unlock(void);

/* ---- the stream ------------------------------------------------------------------------------------------------ */

/* A group or dataset, its attributes, what is in it, LEAVE; the root first; after the root's LEAVE, DONE. FAILED, with
 * what is wrong as its name, may come at any place. */
typedef enum cnn_h5_step {
    CNN_H5_GROUP,
    CNN_H5_DATASET,
    CNN_H5_ATTRIBUTE,
    CNN_H5_LEAVE,
    CNN_H5_DONE,
    CNN_H5_FAILED
} cnn_h5_step;

/* Followed by the name, without a NUL, then by the values: float, int64_t, or strings with a NUL after each. */
typedef struct cnn_h5_record {
    uint32_t step, name_size;
    uint32_t type, rank;
    int64_t shape[CNN_MAX_RANK];
    uint64_t value_size; /* bytes */
} cnn_h5_record;

typedef struct cnn_h5_source {
    const char *name;  /* the path, or what stands for one in messages */
    const void *bytes; /* NULL: in the file */
    uint64_t size;     /* of the file or the bytes */
    uint64_t most;     /* bytes that may come out of it */
} cnn_h5_source;

/* The child's whole life: reads the source, sends it down the pipe. */
_Noreturn void cnn_h5_child(const cnn_h5_source *source, int pipe);

#endif
