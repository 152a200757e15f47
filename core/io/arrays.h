/* What the files of tensors share: elements of the types that files have, made into tensors of ours, and lists of
 * tensors with names. These files are little endian, and so is every machine that libcnn runs on; bytes are swapped
 * only for files that say they are big endian. */
#ifndef CNN_IO_ARRAYS_H
#define CNN_IO_ARRAYS_H

#include "cnn.h"
#include "io/source.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are written as they lie in memory");

typedef enum cnn_element_kind {
    CNN_ELEMENT_FLOAT,    /* 2, 4 or 8 bytes wide: float32 */
    CNN_ELEMENT_BFLOAT,   /* 2: bfloat16 */
    CNN_ELEMENT_SIGNED,   /* 1, 2, 4 or 8: int32 */
    CNN_ELEMENT_UNSIGNED, /* 1: uint8; 2, 4 or 8: int32 */
} cnn_element_kind;

typedef struct cnn_number_type {
    cnn_element_kind kind;
    uint8_t width;
    bool swapped; /* big endian */
} cnn_number_type;

/* True if elements of this kind and width can be read. */
bool cnn_element_known(cnn_number_type element);

/* A tensor of the `bytes` bytes of source from a place on, which must be just what the shape needs. A number that the
 * tensor's dtype cannot hold is an error that names it; float64 is rounded to float32. Messages begin with the source's
 * name. Memory is taken only for what the source has: four bytes for each of its own at most. */
cnn_status cnn_elements_read(cnn_tensor **out, const cnn_source *source, uint64_t from, uint64_t bytes,
                             cnn_number_type element, int rank, const int64_t *shape);

#endif
