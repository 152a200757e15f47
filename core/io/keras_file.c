#include "io/keras_file.h"
#include "io/source.h"
#include "base/status.h"

#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { HEAD = 9 };

/* "PK" of archives; HDF5's signature; of safetensors, a header's length in eight bytes and its "{". */
static cnn_file_kind kind_of_bytes(const unsigned char *bytes, size_t count) {
    if (count >= 8 && memcmp(bytes, "\x89HDF\r\n\x1a\n", 8) == 0) return CNN_KIND_HDF5;
    if (count >= 4 && memcmp(bytes, "PK", 2) == 0) return CNN_KIND_ARCHIVE;
    return count == HEAD && bytes[8] == '{' ? CNN_KIND_SAFETENSORS : CNN_KIND_OTHER;
}

cnn_status cnn_file_kind_of(cnn_file_kind *out, const char *path) {
    struct stat info;
    unsigned char bytes[HEAD];
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        return cnn_fail(
            CNN_ERROR_FORMAT,
            "%s is a folder, perhaps a SavedModel of TensorFlow, which cannot be read; save the model "
            "as .keras or .h5",
            path);
    cnn_source file;
    CNN_TRY(cnn_source_open(&file, path));
    size_t count = file.size < HEAD ? (size_t)file.size : HEAD;
    cnn_status status = cnn_source_read(&file, bytes, 0, count);
    cnn_source_close(&file);
    CNN_TRY(status);
    *out = kind_of_bytes(bytes, count);
    return CNN_OK;
}

bool cnn_name_ends_in(const char *path, const char *ending) {
    size_t length = strlen(path), tail = strlen(ending);
    return length > tail && strcasecmp(path + length - tail, ending) == 0;
}

cnn_status cnn_keras_member(void **bytes, size_t *size, cnn_archive *archive, const char *path,
                            const char *name) {
    int index = cnn_archive_find(archive, name);
    if (index >= 0) return cnn_archive_read(bytes, size, archive, index);
    return cnn_fail(CNN_ERROR_FORMAT, "%s: the archive has no %s; it is no Keras model", path, name);
}

cnn_status cnn_hand_over_notes(cnn_text *text, char **notes, cnn_status status) {
    if (notes) *notes = NULL;
    if (notes && status == CNN_OK && text->length > 0)
        *notes = cnn_text_take(text);
    else
        cnn_text_free(text);
    return status;
}
