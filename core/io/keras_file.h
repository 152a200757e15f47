/* What files of models and files of weights have in common. */
#ifndef CNN_IO_KERAS_FILE_H
#define CNN_IO_KERAS_FILE_H

#include "io/archive.h"
#include "base/text.h"

typedef enum cnn_file_kind {
    CNN_KIND_HDF5,
    CNN_KIND_ARCHIVE,
    CNN_KIND_SAFETENSORS,
    CNN_KIND_OTHER
} cnn_file_kind;

/* By its first bytes, whatever its name. */
cnn_status cnn_file_kind_of(cnn_file_kind *out, const char *path);

/* Whether the name has something before this ending, in capitals or not. */
bool cnn_name_ends_in(const char *path, const char *ending);

/* The archive's member of weights, itself an HDF5 file. */
#define CNN_WEIGHTS_MEMBER "model.weights.h5"

/* A member of a .keras archive (cnn_free); CNN_ERROR_FORMAT, in the name of path, if it is not there. */
cnn_status cnn_keras_member(void **bytes, size_t *size, cnn_archive *archive, const char *path,
                            const char *name);

/* Gives the caller the notes, if he wants them and there are some and all went well; returns the status. */
cnn_status cnn_hand_over_notes(cnn_text *text, char **notes, cnn_status status);

#endif
