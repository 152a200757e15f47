/* safetensors files (github.com/huggingface/safetensors, "Format"): the length of a header as 8 bytes, little endian;
 * the header, a JSON object of name → {"dtype", "shape", "data_offsets": [begin, end]}, the offsets counted from its
 * end; the elements, row major, little endian. "__metadata__" is an object of strings beside the tensors.
 *
 * What is written keeps the format's promises: no holes, the header padded with spaces to a multiple of 8, and the
 * elements of wide types first, so that each tensor is aligned. What is read may have holes, but its tensors together
 * are no longer than the file. cJSON takes up to some forty times a header's length while it reads one. */
#include "io/arrays.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "tensor/tensor.h"

#include <cJSON.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const char metadata[] = "__metadata__";

enum { PREFIX = 8, MOST_HEADER = 100000000 };

static const struct {
    const char *name;
    cnn_number_type element;
} dtypes[] = {
    {"F32", {CNN_ELEMENT_FLOAT, 4, false}},    {"BF16", {CNN_ELEMENT_BFLOAT, 2, false}},
    {"I32", {CNN_ELEMENT_SIGNED, 4, false}},   {"U8", {CNN_ELEMENT_UNSIGNED, 1, false}},
    {"F16", {CNN_ELEMENT_FLOAT, 2, false}},    {"F64", {CNN_ELEMENT_FLOAT, 8, false}},
    {"I64", {CNN_ELEMENT_SIGNED, 8, false}},   {"I16", {CNN_ELEMENT_SIGNED, 2, false}},
    {"I8", {CNN_ELEMENT_SIGNED, 1, false}},    {"BOOL", {CNN_ELEMENT_UNSIGNED, 1, false}},
    {"U16", {CNN_ELEMENT_UNSIGNED, 2, false}}, {"U32", {CNN_ELEMENT_UNSIGNED, 4, false}},
    {"U64", {CNN_ELEMENT_UNSIGNED, 8, false}},
};

/* ---- loading ------------------------------------------------------------------------------------------------ */

typedef struct reader {
    cnn_source file;
    cJSON *header;
    uint64_t start; /* of the elements */
    uint64_t left;  /* bytes of elements that no tensor has had yet */
} reader;

static cnn_status read_header(reader *in) {
    uint8_t prefix[PREFIX] = {0};
    const char *name = in->file.name;
    if (in->file.size > PREFIX) CNN_TRY(cnn_source_read(&in->file, prefix, 0, PREFIX));
    uint64_t length = 0;
    for (int i = PREFIX - 1; i >= 0; i--) length = length << 8 | prefix[i];
    if (length < 2 || length > MOST_HEADER || length > in->file.size - PREFIX)
        return cnn_fail(CNN_ERROR_FORMAT,
                        "%s is not a safetensors file: a header of %llu bytes in a file of %llu", name,
                        (unsigned long long)length, (unsigned long long)in->file.size);
    char *text = cnn_malloc(length);
    if (!text) return cnn_fail_memory(length);
    cnn_status status = cnn_source_read(&in->file, text, PREFIX, length);
    if (status == CNN_OK && *text == '{') in->header = cJSON_ParseWithLength(text, length);
    if (status == CNN_OK && !in->header)
        status =
            cnn_fail(CNN_ERROR_FORMAT, "%s is not a safetensors file: its header is no JSON object", name);
    cnn_free(text);
    in->start = PREFIX + length;
    in->left = in->file.size - in->start;
    return status;
}

/* A whole number of at least 0, exact in JSON. */
static bool get_whole(const cJSON *value, int64_t *out) {
    if (!cJSON_IsNumber(value) || !(value->valuedouble >= 0 && value->valuedouble <= 0x1p53)) return false;
    *out = (int64_t)value->valuedouble;
    return (double)*out == value->valuedouble;
}

static cnn_status get_element(const cnn_source *place, const cJSON *dtype, cnn_number_type *element) {
    const char *name = cJSON_IsString(dtype) ? dtype->valuestring : "none";
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        if (strcmp(dtypes[i].name, name) != 0) continue;
        *element = dtypes[i].element;
        return CNN_OK;
    }
    return cnn_fail(CNN_ERROR_DTYPE, "%s: expected a dtype like F32, got %.40s", place->name, name);
}

static cnn_status get_shape(const cnn_source *place, const cJSON *list, int *rank, int64_t *shape) {
    const cJSON *size;
    *rank = 0;
    if (!cJSON_IsArray(list)) return cnn_fail(CNN_ERROR_FORMAT, "%s has no shape", place->name);
    cJSON_ArrayForEach(size, list) {
        if (*rank == CNN_MAX_RANK)
            return cnn_fail(CNN_ERROR_SHAPE, "%s: expected at most %d axes, got more", place->name,
                            CNN_MAX_RANK);
        if (!get_whole(size, &shape[*rank]))
            return cnn_fail(CNN_ERROR_FORMAT, "%s: size %d of its shape is no whole number", place->name,
                            *rank);
        (*rank)++;
    }
    return CNN_OK;
}

/* Where a tensor's elements lie, counted from the end of the header. */
static cnn_status get_range(reader *in, const cnn_source *place, const cJSON *offsets, int64_t *begin,
                            int64_t *end) {
    const cJSON *first = cJSON_IsArray(offsets) ? offsets->child : NULL, *second = first ? first->next : NULL;
    if (!second || second->next || !get_whole(first, begin) || !get_whole(second, end) || *begin > *end)
        return cnn_fail(CNN_ERROR_FORMAT, "%s has no data_offsets", place->name);
    uint64_t most = in->file.size - in->start, bytes = (uint64_t)(*end - *begin);
    if ((uint64_t)*end > most)
        return cnn_fail(CNN_ERROR_FORMAT, "%s: its elements end at byte %lld of %llu", place->name,
                        (long long)*end, (unsigned long long)most);
    if (bytes > in->left)
        return cnn_fail(CNN_ERROR_FORMAT, "%s shares bytes with another tensor", place->name);
    in->left -= bytes;
    return CNN_OK;
}

static cnn_status load_tensor(reader *in, const cJSON *item, cnn_named_tensor *out) {
    char name[512];
    snprintf(name, sizeof name, "%.300s: '%.200s'", in->file.name, item->string);
    cnn_source place = in->file;
    place.name = name;
    cnn_number_type element;
    int rank = 0;
    int64_t shape[CNN_MAX_RANK], begin = 0, end = 0;
    CNN_TRY(get_element(&place, cJSON_GetObjectItemCaseSensitive(item, "dtype"), &element));
    CNN_TRY(get_shape(&place, cJSON_GetObjectItemCaseSensitive(item, "shape"), &rank, shape));
    CNN_TRY(get_range(in, &place, cJSON_GetObjectItemCaseSensitive(item, "data_offsets"), &begin, &end));
    cnn_tensor *tensor;
    CNN_TRY(cnn_elements_read(&tensor, &place, in->start + (uint64_t)begin, (uint64_t)(end - begin), element,
                              rank, shape));
    out->name = cnn_strdup(item->string);
    if (!out->name) {
        cnn_tensor_release(tensor);
        return cnn_fail_memory(strlen(item->string) + 1);
    }
    out->tensor = tensor;
    return CNN_OK;
}

static cnn_status load_all(reader *in, cnn_named_tensor **out, int *count) {
    CNN_TRY(read_header(in));
    size_t most = (size_t)cJSON_GetArraySize(in->header);
    cnn_named_tensor *tensors = cnn_calloc(most * sizeof *tensors);
    if (!tensors) return cnn_fail_memory(most * sizeof *tensors);
    int loaded = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, in->header) {
        if (strcmp(item->string, metadata) == 0) continue;
        cnn_status status = load_tensor(in, item, &tensors[loaded]);
        if (status != CNN_OK) {
            cnn_named_tensors_free(tensors, loaded);
            return status;
        }
        loaded++;
    }
    *out = tensors;
    *count = loaded;
    return CNN_OK;
}

cnn_status cnn_safetensors_load(cnn_named_tensor **out, int *count, const char *path) {
    reader in = {.header = NULL};
    cnn_status status = cnn_source_open(&in.file, path);
    if (status == CNN_OK) {
        status = load_all(&in, out, count);
        cJSON_Delete(in.header);
        cnn_source_close(&in.file);
    }
    return status == CNN_OK ? CNN_OK : cnn_fail_in(status, "safetensors_load");
}

/* ---- saving ------------------------------------------------------------------------------------------------- */

static const char *dtype_code(cnn_dtype dtype) {
    return dtype == CNN_FLOAT32 ? "F32" : dtype == CNN_BFLOAT16 ? "BF16" : dtype == CNN_INT32 ? "I32" : "U8";
}

/* Wide types first. A tensor's place in the file follows from those of its width before it and all wider ones. */
static const size_t widths[] = {4, 2, 1};
enum { WIDTHS = sizeof widths / sizeof *widths };

static cnn_status check_tensors(const cnn_named_tensor *tensors, int count) {
    for (int i = 0; i < count; i++) {
        CNN_TRY(cnn_check_values("safetensors_save", tensors[i].tensor));
        if (strcmp(tensors[i].name, metadata) == 0)
            return cnn_fail(CNN_ERROR_ARGUMENT, "safetensors_save: no tensor can be named %s", metadata);
        for (int j = 0; j < i; j++)
            if (strcmp(tensors[i].name, tensors[j].name) == 0)
                return cnn_fail(CNN_ERROR_ARGUMENT, "safetensors_save: two tensors are named '%.200s'",
                                tensors[i].name);
    }
    return CNN_OK;
}

static bool add_numbers(cJSON *object, const char *key, int count, const int64_t *numbers) {
    cJSON *list = cJSON_AddArrayToObject(object, key);
    for (int i = 0; list && i < count; i++)
        if (!cJSON_AddItemToArray(list, cJSON_CreateNumber((double)numbers[i]))) return false;
    return list != NULL;
}

/* False when memory runs out. */
static bool describe(cJSON *header, const cnn_named_tensor *tensors, int count) {
    cJSON *about = cJSON_AddObjectToObject(header, metadata);
    if (!about || !cJSON_AddStringToObject(about, "format", "pt")) return false;
    int64_t next[5] = {0}; /* by width: where the next tensor begins */
    for (int i = 0; i < count; i++)
        for (int w = 0; w < WIDTHS; w++)
            if (widths[w] < cnn_dtype_size(tensors[i].tensor->dtype))
                next[widths[w]] += (int64_t)cnn_tensor_bytes(tensors[i].tensor);
    for (int i = 0; i < count; i++) {
        const cnn_tensor *t = tensors[i].tensor;
        int64_t *begin = &next[cnn_dtype_size(t->dtype)];
        int64_t range[] = {*begin, *begin + (int64_t)cnn_tensor_bytes(t)};
        cJSON *item = cJSON_AddObjectToObject(header, tensors[i].name);
        if (!item || !cJSON_AddStringToObject(item, "dtype", dtype_code(t->dtype)) ||
            !add_numbers(item, "shape", t->rank, t->shape) || !add_numbers(item, "data_offsets", 2, range))
            return false;
        *begin = range[1];
    }
    return true;
}

/* The header's text, the caller's to free(). */
static cnn_status make_header(char **text, const cnn_named_tensor *tensors, int count) {
    size_t bytes = 1 + (size_t)count * sizeof(cJSON);
    cJSON *header = cnn_alloc_refused(bytes) ? NULL : cJSON_CreateObject();
    char *made = header && describe(header, tensors, count) ? cJSON_PrintUnformatted(header) : NULL;
    cJSON_Delete(header);
    if (!made) return cnn_fail_memory(bytes);
    *text = made;
    return CNN_OK;
}

static cnn_status save(const char *path, const char *header, const cnn_named_tensor *tensors, int count) {
    size_t length = strlen(header), padded = CNN_ROUND_UP(length, 8);
    uint8_t prefix[PREFIX];
    for (int i = 0; i < PREFIX; i++) prefix[i] = (uint8_t)((uint64_t)padded >> 8 * i);
    cnn_file file;
    CNN_TRY(cnn_file_create(&file, path));
    fwrite(prefix, 1, PREFIX, file.stream); /* commit tells whether all went well */
    fwrite(header, 1, length, file.stream);
    fwrite("        ", 1, padded - length, file.stream);
    for (int w = 0; w < WIDTHS; w++)
        for (int i = 0; i < count; i++)
            if (cnn_dtype_size(tensors[i].tensor->dtype) == widths[w])
                fwrite(tensors[i].tensor->data, 1, cnn_tensor_bytes(tensors[i].tensor), file.stream);
    return cnn_file_commit(&file);
}

cnn_status cnn_safetensors_save(const char *path, const cnn_named_tensor *tensors, int count) {
    CNN_TRY(check_tensors(tensors, count));
    char *header = NULL;
    cnn_status status = make_header(&header, tensors, count);
    if (status == CNN_OK) {
        status = save(path, header, tensors, count);
        free(header);
    }
    return status == CNN_OK ? CNN_OK : cnn_fail_in(status, "safetensors_save");
}
