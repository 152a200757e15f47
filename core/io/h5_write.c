/* Writing HDF5: the library makes the file's image in memory, which then is the bytes, or is written as a file.
 *
 * What is written is what h5py writes for Keras, so that all of Keras's versions and its kin read it: the oldest form
 * of the file that can hold it; numbers in one piece, little-endian; a text as a string of variable length; a list as
 * strings of the length of the longest, padded with NULs. No times are kept: the same tree gives the same bytes. */
#include "io/h5_inner.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"

#include <hdf5.h>
#include <pthread.h>
#include <string.h>

/* An attribute lies in its object's header, where nothing can be longer than 64 KiB; Keras splits longer lists too. */
enum {
    MOST_IN_HEADER = 64000,
    OBJECT_SIZE = 4096 /* about what a group with its attributes takes, and more */
};

static pthread_mutex_t library = PTHREAD_MUTEX_INITIALIZER;

void cnn_h5_lock(void) {
    pthread_mutex_lock(&library);
}

void cnn_h5_unlock(void) {
    pthread_mutex_unlock(&library);
}

/* ---- the image ------------------------------------------------------------------------------------------------- */

/* The library grows the image through these, and leaves it to us when it closes the file. */
typedef struct image {
    void *bytes;
    size_t refused; /* the size of an allocation that failed; 0: none did */
} image;

static void *image_realloc(void *bytes, size_t size, H5FD_file_image_op_t operation, void *data) {
    (void)operation;
    image *kept = data;
    void *grown = cnn_malloc(size);
    if (!grown) {
        kept->refused = size;
        return NULL;
    }
    if (bytes) memcpy(grown, bytes, cnn_block_size(bytes) < size ? cnn_block_size(bytes) : size);
    cnn_free(bytes);
    return kept->bytes = grown;
}

static void *image_malloc(size_t size, H5FD_file_image_op_t operation, void *data) {
    return image_realloc(NULL, size, operation, data);
}

static void *image_memcpy(void *to, const void *from, size_t size, H5FD_file_image_op_t operation,
                          void *data) {
    (void)operation;
    (void)data;
    return memcpy(to, from, size);
}

static herr_t image_free(void *bytes, H5FD_file_image_op_t operation, void *data) {
    (void)bytes;
    (void)operation;
    (void)data;
    return 0;
}

static void *same_data(void *data) {
    return data;
}

static herr_t keep_data(void *data) {
    (void)data;
    return 0;
}

/* ---- values ---------------------------------------------------------------------------------------------------- */

typedef struct writer {
    hid_t group, dataset; /* properties of what is made */
    hid_t ascii, utf8;    /* of links, by their names' characters */
    hid_t attribute_ascii, attribute_utf8;
} writer;

static bool is_ascii(const char *text) {
    for (; *text; text++)
        if ((unsigned char)*text > 0x7f) return false;
    return true;
}

/* What is to be written, once it is known how. */
typedef struct content {
    hid_t file_type, memory_type;
    int rank;
    hsize_t shape[CNN_MAX_RANK];
    const void *values;
} content;

static bool put(const writer *w, hid_t at, const char *name, const content *c, bool is_attribute) {
    bool ascii = is_ascii(name), done = false;
    hid_t space = c->rank ? H5Screate_simple(c->rank, c->shape, NULL) : H5Screate(H5S_SCALAR);
    if (is_attribute) {
        hid_t attribute = H5Acreate2(at, name, c->file_type, space,
                                     ascii ? w->attribute_ascii : w->attribute_utf8, H5P_DEFAULT);
        done = attribute >= 0 && H5Awrite(attribute, c->memory_type, c->values) >= 0;
        if (attribute >= 0) done = H5Aclose(attribute) >= 0 && done;
    } else {
        hid_t dataset =
            H5Dcreate2(at, name, c->file_type, space, ascii ? w->ascii : w->utf8, w->dataset, H5P_DEFAULT);
        done =
            dataset >= 0 && H5Dwrite(dataset, c->memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, c->values) >= 0;
        if (dataset >= 0) done = H5Dclose(dataset) >= 0 && done;
    }
    if (space >= 0) H5Sclose(space);
    return done;
}

static cnn_status fail_refused(const char *name) {
    return cnn_fail(CNN_ERROR_ARGUMENT, "hdf5: '%.200s' cannot be written", name);
}

static void set_shape(content *c, const cnn_h5_value *value) {
    c->rank = value->rank;
    for (int i = 0; i < value->rank; i++) c->shape[i] = (hsize_t)value->shape[i];
}

static cnn_status write_numbers(const writer *w, hid_t at, const char *name, const cnn_h5_value *value,
                                bool is_attribute) {
    content c;
    set_shape(&c, value);
    if (value->type == CNN_H5_FLOAT32) {
        c.file_type =
            is_attribute && value->count == 0 ? H5T_IEEE_F64LE : H5T_IEEE_F32LE; /* h5py's empty list */
        c.memory_type = H5T_NATIVE_FLOAT;
        c.values = value->tensor ? value->tensor->data : "";
    } else {
        c.file_type = value->type == CNN_H5_UINT32 ? H5T_STD_U32LE : H5T_STD_I64LE;
        c.memory_type = H5T_NATIVE_INT64;
        c.values = value->integers ? (const void *)value->integers : "";
    }
    return put(w, at, name, &c, is_attribute) ? CNN_OK : fail_refused(name);
}

static cnn_status write_empty_list(const writer *w, hid_t at, const char *name, const cnn_h5_value *value,
                                   bool is_attribute) {
    content c = {.file_type = H5T_IEEE_F64LE, .memory_type = H5T_NATIVE_DOUBLE, .values = ""};
    set_shape(&c, value);
    return put(w, at, name, &c, is_attribute) ? CNN_OK : fail_refused(name);
}

/* Old versions of h5py and Keras expect bytes, which ASCII gives them, and cannot know UTF-8 otherwise. */
static cnn_status write_text(const writer *w, hid_t at, const char *name, const cnn_h5_value *value,
                             bool is_attribute) {
    hid_t type = H5Tcopy(H5T_C_S1);
    content c = {.file_type = type, .memory_type = type, .values = value->strings};
    set_shape(&c, value);
    bool done = H5Tset_size(type, H5T_VARIABLE) >= 0 &&
                H5Tset_cset(type, is_ascii(value->strings[0]) ? H5T_CSET_ASCII : H5T_CSET_UTF8) >= 0 &&
                put(w, at, name, &c, is_attribute);
    if (type >= 0) H5Tclose(type);
    return done ? CNN_OK : fail_refused(name);
}

/* Strings [from, from + count) of a list, each in `longest` bytes; shape is theirs. */
static cnn_status write_strings(const writer *w, hid_t at, const char *name, const cnn_h5_value *value,
                                bool is_attribute, int64_t from, int64_t count, size_t longest) {
    size_t size = (size_t)count * longest;
    char *padded = cnn_calloc(size);
    if (!padded) return cnn_fail_memory(size);
    for (int64_t i = 0; i < count; i++) {
        const char *text = value->strings[from + i];
        memcpy(padded + (size_t)i * longest, text, strlen(text));
    }
    hid_t type = H5Tcopy(H5T_C_S1);
    content c = {.file_type = type, .memory_type = type, .values = padded};
    set_shape(&c, value);
    if (count < value->count) c.shape[0] = (hsize_t)count;
    bool done = H5Tset_size(type, longest) >= 0 && H5Tset_strpad(type, H5T_STR_NULLPAD) >= 0 &&
                put(w, at, name, &c, is_attribute);
    if (type >= 0) H5Tclose(type);
    cnn_free(padded);
    return done ? CNN_OK : fail_refused(name);
}

/* In as few parts as hold it, of equal sizes but for one string more in the first ones. */
static cnn_status write_parts(const writer *w, hid_t at, const char *name, const cnn_h5_value *value,
                              size_t longest) {
    if (longest > MOST_IN_HEADER)
        return cnn_fail(CNN_ERROR_ARGUMENT, "hdf5: a string in list '%.200s' has %zu bytes, the most is %d",
                        name, longest, MOST_IN_HEADER);
    int64_t fit = MOST_IN_HEADER / (int64_t)longest, parts = (value->count + fit - 1) / fit, from = 0;
    size_t capacity = strlen(name) + 24;
    char *part = cnn_malloc(capacity);
    if (!part) return cnn_fail_memory(capacity);
    cnn_status status = CNN_OK;
    for (int64_t i = 0; status == CNN_OK && i < parts; i++) {
        int64_t count = value->count / parts + (i < value->count % parts);
        snprintf(part, capacity, "%s%lld", name, (long long)i);
        status = write_strings(w, at, part, value, true, from, count, longest);
        from += count;
    }
    cnn_free(part);
    return status;
}

static cnn_status write_list(const writer *w, hid_t at, const char *name, const cnn_h5_value *value,
                             bool is_attribute) {
    size_t longest = 1;
    for (int64_t i = 0; i < value->count; i++) {
        size_t length = strlen(value->strings[i]);
        if (length > longest) longest = length;
    }
    if (is_attribute && value->rank == 1 && longest > MOST_IN_HEADER / (size_t)value->count)
        return write_parts(w, at, name, value, longest);
    return write_strings(w, at, name, value, is_attribute, 0, value->count, longest);
}

static cnn_status write_value(const writer *w, hid_t at, const char *name, const cnn_h5_value *value,
                              bool is_attribute) {
    if (value->type != CNN_H5_STRING) return write_numbers(w, at, name, value, is_attribute);
    if (value->count == 0) return write_empty_list(w, at, name, value, is_attribute);
    return (value->rank == 0 ? write_text : write_list)(w, at, name, value, is_attribute);
}

/* ---- nodes ----------------------------------------------------------------------------------------------------- */

static cnn_status write_attributes(const writer *w, hid_t object, const cnn_h5_node *node) {
    for (int i = 0; i < node->attribute_count; i++)
        CNN_TRY(write_value(w, object, node->attributes[i].name, &node->attributes[i].value, true));
    return CNN_OK;
}

static cnn_status write_dataset(const writer *w, hid_t group, const cnn_h5_node *node) {
    CNN_TRY(write_value(w, group, node->name, node->value, false));
    if (node->attribute_count == 0) return CNN_OK;
    hid_t dataset = H5Dopen2(group, node->name, H5P_DEFAULT);
    if (dataset < 0) return fail_refused(node->name);
    cnn_status status = write_attributes(w, dataset, node);
    H5Dclose(dataset);
    return status;
}

static cnn_status write_group(const writer *w, hid_t group, const cnn_h5_node *node, int depth);

static cnn_status write_child(const writer *w, hid_t parent, const cnn_h5_node *node, int depth) {
    if (depth > CNN_H5_DEEPEST)
        return cnn_fail(CNN_ERROR_ARGUMENT, "hdf5: '%.200s' lies in more than %d groups", node->name,
                        CNN_H5_DEEPEST);
    if (node->value) return write_dataset(w, parent, node);
    hid_t group =
        H5Gcreate2(parent, node->name, is_ascii(node->name) ? w->ascii : w->utf8, w->group, H5P_DEFAULT);
    if (group < 0) return fail_refused(node->name);
    cnn_status status = write_group(w, group, node, depth);
    if (H5Gclose(group) < 0 && status == CNN_OK) status = fail_refused(node->name);
    return status;
}

static cnn_status write_group(const writer *w, hid_t group, const cnn_h5_node *node, int depth) {
    CNN_TRY(write_attributes(w, group, node));
    for (int i = 0; i < node->child_count; i++) CNN_TRY(write_child(w, group, node->children[i], depth + 1));
    return CNN_OK;
}

/* ---- the file -------------------------------------------------------------------------------------------------- */

/* About the bytes of a value in the file. */
static size_t value_size(const cnn_h5_value *value) {
    size_t size = (size_t)value->count * (value->type == CNN_H5_INT64 ? 8 : 4), longest = 0;
    for (int64_t i = 0; value->type == CNN_H5_STRING && i < value->count; i++) {
        size_t length = strlen(value->strings[i]);
        if (length > longest) longest = length;
    }
    return size + longest * (size_t)value->count;
}

/* About the size of the image: with this much room at once, it is not copied while it grows. */
static size_t tree_size(const cnn_h5_node *node) {
    size_t size = OBJECT_SIZE;
    if (node->value) size += value_size(node->value);
    for (int i = 0; i < node->attribute_count; i++) size += value_size(&node->attributes[i].value);
    for (int i = 0; i < node->child_count; i++) size += tree_size(node->children[i]);
    return size;
}

static hid_t create_file(image *kept, const cnn_h5_node *root) {
    H5FD_file_image_callbacks_t callbacks = {image_malloc, image_memcpy, image_realloc, image_free,
                                             same_data,    keep_data,    kept};
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), creation = H5Pcreate(H5P_FILE_CREATE), file = -1;
    if (H5Pset_fapl_core(access, tree_size(root), 0) >= 0 &&
        H5Pset_file_image_callbacks(access, &callbacks) >= 0 && H5Pset_obj_track_times(creation, 0) >= 0)
        file = H5Fcreate("image", H5F_ACC_TRUNC, creation, access);
    if (access >= 0) H5Pclose(access);
    if (creation >= 0) H5Pclose(creation);
    return file;
}

static hid_t properties(hid_t class, bool utf8) {
    hid_t made = H5Pcreate(class);
    if (utf8) H5Pset_char_encoding(made, H5T_CSET_UTF8);
    return made;
}

static cnn_status write_tree(hid_t file, const cnn_h5_node *root) {
    hid_t group = H5Gopen2(file, "/", H5P_DEFAULT);
    if (group < 0) return fail_refused("/");
    writer w = {.group = properties(H5P_GROUP_CREATE, false),
                .dataset = properties(H5P_DATASET_CREATE, false),
                .ascii = properties(H5P_LINK_CREATE, false),
                .utf8 = properties(H5P_LINK_CREATE, true),
                .attribute_ascii = properties(H5P_ATTRIBUTE_CREATE, false),
                .attribute_utf8 = properties(H5P_ATTRIBUTE_CREATE, true)};
    H5Pset_obj_track_times(w.group, 0);
    H5Pset_obj_track_times(w.dataset, 0);
    cnn_status status = write_group(&w, group, root, 0);
    hid_t made[] = {w.group, w.dataset, w.ascii, w.utf8, w.attribute_ascii, w.attribute_utf8};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++)
        if (made[i] >= 0) H5Pclose(made[i]);
    H5Gclose(group);
    return status;
}

static cnn_status make_image(image *kept, size_t *size, const cnn_h5_node *root) {
    hid_t file = create_file(kept, root);
    if (file < 0) return kept->refused ? cnn_fail_memory(kept->refused) : fail_refused("/");
    cnn_status status = write_tree(file, root);
    ssize_t length = -1;
    if (H5Fflush(file, H5F_SCOPE_LOCAL) >= 0) length = H5Fget_file_image(file, NULL, 0);
    if (H5Fclose(file) < 0) length = -1;
    if (kept->refused) return cnn_fail_memory(kept->refused);
    if (status == CNN_OK && length < 0) status = fail_refused("/");
    *size = (size_t)length;
    return status;
}

cnn_status cnn_h5_bytes(void **bytes, size_t *size, const cnn_h5_node *root) {
    image kept = {0};
    size_t length = 0;
    H5E_auto2_t print;
    void *print_data;
    cnn_h5_lock();
    H5Eget_auto2(H5E_DEFAULT, &print, &print_data);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* errors are told by us; the host's way is put back */
    cnn_status status = make_image(&kept, &length, root);
    H5Eset_auto2(H5E_DEFAULT, print, print_data);
    cnn_h5_unlock();
    if (status != CNN_OK) {
        cnn_free(kept.bytes);
        return status;
    }
    *bytes = kept.bytes;
    *size = length;
    return CNN_OK;
}

cnn_status cnn_h5_write(const cnn_h5_node *root, const char *path) {
    void *bytes;
    size_t size;
    CNN_TRY(cnn_h5_bytes(&bytes, &size, root));
    cnn_file file;
    cnn_status status = cnn_file_create(&file, path);
    if (status == CNN_OK) {
        fwrite(bytes, 1, size, file.stream); /* a failure shows when the file is committed */
        status = cnn_file_commit(&file);
    }
    cnn_free(bytes);
    return status;
}
