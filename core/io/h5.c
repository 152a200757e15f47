/* Trees in memory, as HDF5 files hold them: finding, reading and adding.
 *
 * A node owns its children, its attributes and its value; a value owns its numbers or strings, a tensor by a reference.
 * Names hold no '/', but may hold backslashes; whoever looks for a path finds both. Lists grow by doubling, and a
 * block's own size tells how much room there is. Whatever is added is first made and then hung in, so that a failure
 * leaves the tree as it was. */
#include "io/h5_inner.h"
#include "base/memory.h"
#include "base/status.h"
#include "tensor/tensor.h"

#include <inttypes.h>
#include <string.h>

/* ---- nodes ----------------------------------------------------------------------------------------------------- */

cnn_status cnn_h5_node_new(cnn_h5_node **out, const char *name, size_t length) {
    cnn_h5_node *node = cnn_calloc(sizeof *node);
    if (!node) return cnn_fail_memory(sizeof *node);
    node->name = cnn_malloc(length + 1);
    if (!node->name) {
        cnn_free(node);
        return cnn_fail_memory(length + 1);
    }
    memcpy(node->name, name, length);
    node->name[length] = '\0';
    *out = node;
    return CNN_OK;
}

cnn_status cnn_h5_new(cnn_h5_node **root) {
    return cnn_h5_node_new(root, "", 0);
}

void cnn_h5_value_clear(cnn_h5_value *value) {
    cnn_tensor_release(value->tensor);
    cnn_free(value->integers);
    cnn_free(value->strings);
    *value = (cnn_h5_value){0};
}

void cnn_h5_free(cnn_h5_node *root) {
    if (!root) return;
    for (int i = 0; i < root->child_count; i++) cnn_h5_free(root->children[i]);
    for (int i = 0; i < root->attribute_count; i++) {
        cnn_free(root->attributes[i].name);
        cnn_h5_value_clear(&root->attributes[i].value);
    }
    if (root->value) cnn_h5_value_clear(root->value);
    cnn_free(root->value);
    cnn_free(root->children);
    cnn_free(root->attributes);
    cnn_free(root->name);
    cnn_free(root);
}

/* Room for one element more in a list of count. */
static cnn_status grow(void **list, int count, size_t element) {
    size_t used = (size_t)count * element, size = used < 4 * element ? 4 * element : 2 * used;
    if (*list && used + element <= cnn_block_size(*list)) return CNN_OK;
    void *grown = cnn_malloc(size);
    if (!grown) return cnn_fail_memory(size);
    if (*list) memcpy(grown, *list, used);
    cnn_free(*list);
    *list = grown;
    return CNN_OK;
}

cnn_status cnn_h5_append(cnn_h5_node *parent, cnn_h5_node *child) {
    void *list = parent->children;
    cnn_status status = grow(&list, parent->child_count, sizeof *parent->children);
    parent->children = list;
    if (status == CNN_OK) parent->children[parent->child_count++] = child;
    return status;
}

cnn_status cnn_h5_append_attribute(cnn_h5_node *node, char *name, const cnn_h5_value *value) {
    void *list = node->attributes;
    cnn_status status = grow(&list, node->attribute_count, sizeof *node->attributes);
    node->attributes = list;
    if (status == CNN_OK)
        node->attributes[node->attribute_count++] = (cnn_h5_attribute){.name = name, .value = *value};
    return status;
}

/* ---- finding --------------------------------------------------------------------------------------------------- */

static bool separates(char c) {
    return c == '/' || c == '\\';
}

/* What of [path, end) is left after name; NULL if it does not begin with it. */
static const char *after(const char *name, const char *path, const char *end) {
    for (; *name; name++, path++) {
        if (path == end) return NULL;
        if (*name != *path && !(separates(*name) && separates(*path))) return NULL;
    }
    return path == end || separates(*path) ? path : NULL;
}

/* A name with backslashes takes several parts of the path, so more than one child may fit its beginning. */
static cnn_h5_node *find(const cnn_h5_node *from, const char *path, const char *end) {
    while (path < end && separates(*path)) path++;
    if (path == end) return (cnn_h5_node *)from;
    for (int i = 0; i < from->child_count; i++) {
        const char *rest = after(from->children[i]->name, path, end);
        cnn_h5_node *found = rest ? find(from->children[i], rest, end) : NULL;
        if (found) return found;
    }
    return NULL;
}

cnn_h5_node *cnn_h5_find(const cnn_h5_node *from, const char *path) {
    return find(from, path, path + strlen(path));
}

static cnn_h5_attribute *find_attribute(const cnn_h5_node *node, const char *name) {
    for (int i = 0; i < node->attribute_count; i++)
        if (strcmp(node->attributes[i].name, name) == 0) return &node->attributes[i];
    return NULL;
}

const cnn_h5_value *cnn_h5_get(const cnn_h5_node *node, const char *name) {
    const cnn_h5_attribute *attribute = find_attribute(node, name);
    return attribute ? &attribute->value : NULL;
}

const char *cnn_h5_text(const cnn_h5_node *node, const char *name) {
    const cnn_h5_value *value = cnn_h5_get(node, name);
    return value && value->type == CNN_H5_STRING && value->count == 1 ? value->strings[0] : NULL;
}

/* ---- adding nodes ---------------------------------------------------------------------------------------------- */

/* The next part of a path, or false; *path goes behind it. */
static bool next_part(const char **path, const char **part, size_t *length) {
    while (**path == '/') (*path)++;
    *part = *path;
    while (**path && **path != '/') (*path)++;
    *length = (size_t)(*path - *part);
    return *length > 0;
}

static cnn_status check_path(const char *path) {
    if (!path) return cnn_fail(CNN_ERROR_ARGUMENT, "hdf5: expected a path, got none");
    const char *rest = path, *part;
    size_t length;
    int depth = 0;
    while (next_part(&rest, &part, &length)) {
        if (length == 1 && *part == '.')
            return cnn_fail(CNN_ERROR_ARGUMENT, "hdf5: '.' cannot be a name, got '%.200s'", path);
        if (++depth > CNN_H5_DEEPEST)
            return cnn_fail(CNN_ERROR_ARGUMENT, "hdf5: expected a path of at most %d names, got '%.200s'",
                            CNN_H5_DEEPEST, path);
    }
    return CNN_OK;
}

/* The deepest node there is on the way; *path goes behind it. */
static cnn_h5_node *nearest(cnn_h5_node *from, const char **path) {
    const char *end = *path + strlen(*path);
    cnn_h5_node *found;
    while (!(found = find(from, *path, end))) do
            end--;
        while (end > *path && *end != '/');
    *path = end;
    return found;
}

/* New nodes for the rest of a path, each in the one before, hung into parent. */
static cnn_status add_chain(cnn_h5_node **last, cnn_h5_node *parent, const char *path) {
    cnn_h5_node *first = NULL, *end = NULL;
    const char *part;
    size_t length;
    cnn_status status = CNN_OK;
    while (status == CNN_OK && next_part(&path, &part, &length)) {
        cnn_h5_node *node = NULL;
        status = cnn_h5_node_new(&node, part, length);
        if (status == CNN_OK && end) status = cnn_h5_append(end, node);
        if (status != CNN_OK) {
            cnn_h5_free(node);
            break;
        }
        if (!first) first = node;
        end = node;
    }
    if (status == CNN_OK) status = cnn_h5_append(parent, first);
    if (status == CNN_OK)
        *last = end;
    else
        cnn_h5_free(first);
    return status;
}

cnn_status cnn_h5_group(cnn_h5_node **borrowed, cnn_h5_node *from, const char *path) {
    CNN_TRY(check_path(path));
    const char *rest = path;
    cnn_h5_node *node = nearest(from, &rest);
    if (node->value)
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        "hdf5: expected groups on the way to '%.200s', but '%.200s' is a dataset", path,
                        node->name);
    if (*rest) CNN_TRY(add_chain(&node, node, rest));
    *borrowed = node;
    return CNN_OK;
}

/* Takes over what the value holds, on success. */
static cnn_status add_dataset(cnn_h5_node *from, const char *path, const cnn_h5_value *value) {
    CNN_TRY(check_path(path));
    const char *rest = path;
    cnn_h5_node *node = nearest(from, &rest);
    if (!*rest && node->value) {
        cnn_h5_value_clear(node->value);
        *node->value = *value;
        return CNN_OK;
    }
    if (!*rest || node->value)
        return cnn_fail(CNN_ERROR_ARGUMENT, "hdf5: '%.200s' cannot be a dataset: '%.200s' is a %s", path,
                        node->name, node->value ? "dataset" : "group");
    cnn_h5_value *kept = cnn_malloc(sizeof *kept);
    if (!kept) return cnn_fail_memory(sizeof *kept);
    cnn_status status = add_chain(&node, node, rest);
    if (status != CNN_OK) {
        cnn_free(kept);
        return status;
    }
    *kept = *value;
    node->value = kept;
    return CNN_OK;
}

cnn_status cnn_h5_add_tensor(cnn_h5_node *from, const char *path, cnn_tensor *tensor) {
    CNN_TRY(cnn_check_values("hdf5", tensor));
    if (tensor->dtype != CNN_FLOAT32)
        return cnn_fail(CNN_ERROR_DTYPE, "hdf5: '%.200s' must be float32, got %s", path ? path : "",
                        cnn_dtype_name(tensor->dtype));
    cnn_h5_value value = {
        .type = CNN_H5_FLOAT32, .rank = tensor->rank, .count = tensor->size, .tensor = tensor};
    memcpy(value.shape, tensor->shape, sizeof value.shape);
    cnn_tensor_retain(tensor); /* before it may replace itself */
    cnn_status status = add_dataset(from, path, &value);
    if (status != CNN_OK) cnn_tensor_release(tensor);
    return status;
}

static cnn_status check_integers(const char *path, const cnn_h5_value *value, const int64_t *integers) {
    if (value->type != CNN_H5_INT64 && value->type != CNN_H5_UINT32)
        return cnn_fail(CNN_ERROR_ARGUMENT, "hdf5: integers are of type int64 or uint32, got %d",
                        (int)value->type);
    for (int64_t i = 0; value->type == CNN_H5_UINT32 && i < value->count; i++)
        if (integers[i] < 0 || integers[i] > UINT32_MAX)
            return cnn_fail(CNN_ERROR_ARGUMENT, "hdf5: '%.200s' must be uint32, got %" PRId64,
                            path ? path : "", integers[i]);
    return CNN_OK;
}

cnn_status cnn_h5_add_integers(cnn_h5_node *from, const char *path, cnn_h5_type type, int rank,
                               const int64_t *shape, const int64_t *integers) {
    /* The limits of tensors hold here too: an element counts as 4 bytes there. */
    cnn_h5_value value = {
        .type = type, .rank = rank, .count = cnn_shape_size("hdf5", CNN_INT32, rank, shape)};
    if (value.count < 0) return CNN_ERROR_SHAPE;
    CNN_TRY(check_integers(path, &value, integers));
    size_t bytes = (size_t)value.count * sizeof *integers;
    if (rank > 0) memcpy(value.shape, shape, (size_t)rank * sizeof *shape);
    value.integers = cnn_malloc(bytes);
    if (!value.integers) return cnn_fail_memory(bytes);
    if (bytes) memcpy(value.integers, integers, bytes);
    cnn_status status = add_dataset(from, path, &value);
    if (status != CNN_OK) cnn_h5_value_clear(&value);
    return status;
}

/* ---- adding attributes ----------------------------------------------------------------------------------------- */

/* One block: the pointers, then the characters. */
static cnn_status copy_strings(char ***out, const char *const *strings, size_t count) {
    size_t size = count * sizeof(char *);
    for (size_t i = 0; i < count; i++) size += strlen(strings[i]) + 1;
    char **copies = cnn_malloc(size);
    if (!copies) return cnn_fail_memory(size);
    char *to = (char *)(copies + count);
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(strings[i]) + 1;
        copies[i] = memcpy(to, strings[i], length);
        to += length;
    }
    *out = copies;
    return CNN_OK;
}

cnn_status cnn_h5_join(cnn_h5_value *out, const cnn_h5_value *const *lists, int count) {
    size_t total = 0, size, done = 0;
    for (int i = 0; i < count; i++) total += (size_t)lists[i]->count;
    size = total * sizeof(char *);
    const char **all = cnn_malloc(size);
    if (!all) return cnn_fail_memory(size);
    for (int i = 0; i < count; i++)
        for (int64_t j = 0; j < lists[i]->count; j++) all[done++] = lists[i]->strings[j];
    cnn_h5_value value = {
        .type = CNN_H5_STRING, .rank = 1, .shape = {(int64_t)total}, .count = (int64_t)total};
    cnn_status status = copy_strings(&value.strings, all, total);
    cnn_free(all);
    if (status == CNN_OK) *out = value;
    return status;
}

/* Takes over what the value holds, on success. */
static cnn_status set_attribute(cnn_h5_node *node, const char *name, const cnn_h5_value *value) {
    if (!name || !*name) return cnn_fail(CNN_ERROR_ARGUMENT, "hdf5: an attribute must have a name");
    cnn_h5_attribute *old = find_attribute(node, name);
    if (old) {
        cnn_h5_value_clear(&old->value);
        old->value = *value;
        return CNN_OK;
    }
    if (node->attribute_count >= CNN_H5_MOST_ATTRIBUTES)
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        "hdf5: '%.200s' would be attribute %d of '%.200s', the most is %d", name,
                        node->attribute_count + 1, node->name, CNN_H5_MOST_ATTRIBUTES);
    char *copy = cnn_strdup(name);
    if (!copy) return cnn_fail_memory(strlen(name) + 1);
    cnn_status status = cnn_h5_append_attribute(node, copy, value);
    if (status != CNN_OK) cnn_free(copy);
    return status;
}

static cnn_status set_strings(cnn_h5_node *node, const char *name, cnn_h5_value *value,
                              const char *const *strings) {
    for (int64_t i = 0; i < value->count; i++)
        if (!strings[i])
            return cnn_fail(CNN_ERROR_ARGUMENT, "hdf5: attribute '%.200s' must be text, got none",
                            name ? name : "");
    CNN_TRY(copy_strings(&value->strings, strings, (size_t)value->count));
    cnn_status status = set_attribute(node, name, value);
    if (status != CNN_OK) cnn_h5_value_clear(value);
    return status;
}

cnn_status cnn_h5_set_text(cnn_h5_node *node, const char *name, const char *text) {
    cnn_h5_value value = {.type = CNN_H5_STRING, .count = 1};
    return set_strings(node, name, &value, &text);
}

cnn_status cnn_h5_set_list(cnn_h5_node *node, const char *name, const char *const *strings, int count) {
    if (count < 0) return cnn_fail(CNN_ERROR_ARGUMENT, "hdf5: a list has at least 0 strings, got %d", count);
    cnn_h5_value value = {.type = CNN_H5_STRING, .rank = 1, .shape = {count}, .count = count};
    return set_strings(node, name, &value, strings);
}
