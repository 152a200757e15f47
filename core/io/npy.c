/* NumPy's .npy and .npz files (numpy.lib.format, "NPY format", versions 1.0 to 3.0).
 *
 * A .npy is "\x93NUMPY", two bytes of version, the length of a header (2 bytes little endian in version 1.0, 4 in later
 * ones), the header, and the elements. The header is Python's text of a dict: {'descr': '<f4', 'fortran_order': False,
 * 'shape': (3, 4), }, padded with spaces to a newline that ends at a multiple of 64 bytes. A .npz is a zip archive of
 * .npy files.
 *
 * Only that dict is read, its keys in any order; there is no Python here to evaluate anything else, and what asks for it
 * (pickled objects, records) is refused. bfloat16, which NumPy has not, is written as float32. */
#include "io/archive.h"
#include "io/arrays.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "tensor/tensor.h"

#include <ctype.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>

static const char magic[] = "\x93NUMPY";

enum { MAGIC = 6, PREFIX = MAGIC + 2, HEAD = 4 * CNN_ALIGN, MOST_HEADER = 1 << 16 };

/* ---- reading a header --------------------------------------------------------------------------------------- */

typedef struct header {
    cnn_number_type element;
    bool fortran_order;
    int rank;
    int64_t shape[CNN_MAX_RANK];
} header;

typedef struct parser {
    const char *name; /* of the source, for messages */
    const char *at;   /* in the header, which a NUL ends */
} parser;

static cnn_status expected(const parser *p, const char *what) {
    if (!*p->at) return cnn_fail(CNN_ERROR_FORMAT, "%s: its header ends where %s should be", p->name, what);
    return cnn_fail(CNN_ERROR_FORMAT, "%s: expected %s in its header, got '%.40s'", p->name, what, p->at);
}

/* Skips spaces, then the text if it is there. */
static bool accept(parser *p, const char *text) {
    size_t length = strlen(text);
    p->at += strspn(p->at, " \t\r\n");
    if (strncmp(p->at, text, length) != 0) return false;
    p->at += length;
    return true;
}

static cnn_status need(parser *p, const char *text, const char *what) {
    return accept(p, text) ? CNN_OK : expected(p, what);
}

/* A string without escapes, as a span of the header. */
static cnn_status parse_string(parser *p, const char **text, size_t *length, const char *what) {
    p->at += strspn(p->at, " \t\r\n");
    char quote = *p->at;
    if (quote != '\'' && quote != '"') return expected(p, what);
    *text = p->at + 1;
    const char *end = strchr(*text, quote);
    if (!end) return expected(p, what);
    *length = (size_t)(end - *text);
    p->at = end + 1;
    return CNN_OK;
}

/* '<f4': byte order, kind, width. */
static cnn_status parse_descr(parser *p, header *h) {
    static const char *const what = "a dtype of numbers like '<f4'";
    const char *text = "";
    size_t length = 0;
    CNN_TRY(parse_string(p, &text, &length, what));
    const char *kind = text + (length > 0 && strchr("<>=|", *text) != NULL);
    cnn_number_type element = {.swapped = *text == '>'};
    bool known = kind + 2 == text + length && kind[1] >= '1' && kind[1] <= '8';
    if (known) element.width = (uint8_t)(kind[1] - '0');
    if (*kind == 'f')
        element.kind = CNN_ELEMENT_FLOAT;
    else if (*kind == 'i')
        element.kind = CNN_ELEMENT_SIGNED;
    else if (*kind == 'u' || (*kind == 'b' && element.width == 1))
        element.kind = CNN_ELEMENT_UNSIGNED;
    else
        known = false;
    if (!known || !cnn_element_known(element))
        return cnn_fail(CNN_ERROR_DTYPE, "%s: expected %s, got '%.*s'", p->name, what,
                        length < 40 ? (int)length : 40, text);
    h->element = element;
    return CNN_OK;
}

static cnn_status parse_size(parser *p, int64_t *size) {
    *size = 0;
    if (!isdigit((unsigned char)*p->at)) return expected(p, "a size");
    for (; isdigit((unsigned char)*p->at); p->at++)
        if (__builtin_mul_overflow(*size, 10, size) || __builtin_add_overflow(*size, *p->at - '0', size))
            return cnn_fail(CNN_ERROR_SHAPE, "%s: a size in its shape is too large", p->name);
    accept(p, "L"); /* Python 2's long integers */
    return CNN_OK;
}

/* A tuple: () or (3,) or (3, 4) or (3, 4,). */
static cnn_status parse_shape(parser *p, header *h) {
    CNN_TRY(need(p, "(", "a shape like (3, 4)"));
    bool comma = true;
    for (h->rank = 0; !accept(p, ")"); h->rank++) {
        if (!comma) return expected(p, "a comma or the end of the shape");
        if (h->rank == CNN_MAX_RANK)
            return cnn_fail(CNN_ERROR_SHAPE, "%s: expected at most %d axes, got more", p->name, CNN_MAX_RANK);
        CNN_TRY(parse_size(p, &h->shape[h->rank]));
        comma = accept(p, ",");
    }
    return h->rank == 1 && !comma ? expected(p, "a comma after the only size") : CNN_OK;
}

static cnn_status parse_order(parser *p, header *h) {
    h->fortran_order = accept(p, "True");
    return h->fortran_order ? CNN_OK : need(p, "False", "True or False");
}

static cnn_status parse_header(parser *p, header *h) {
    static const struct {
        const char *key;
        cnn_status (*parse)(parser *p, header *h);
    } fields[] = {{"descr", parse_descr}, {"fortran_order", parse_order}, {"shape", parse_shape}};
    unsigned seen = 0;
    bool comma = true;
    CNN_TRY(need(p, "{", "a dict"));
    while (!accept(p, "}")) {
        const char *key = "", *start = p->at;
        size_t length = 0;
        int i = 0;
        if (!comma) return expected(p, "a comma or the end of the dict");
        CNN_TRY(parse_string(p, &key, &length, "a key"));
        while (i < 3 && (strlen(fields[i].key) != length || memcmp(fields[i].key, key, length) != 0)) i++;
        if (i == 3 || seen >> i & 1) {
            p->at = start;
            return expected(p, "the keys descr, fortran_order and shape, once each,");
        }
        CNN_TRY(need(p, ":", "a colon"));
        CNN_TRY(fields[i].parse(p, h));
        seen |= 1u << i;
        comma = accept(p, ",");
    }
    if (seen != 7) return expected(p, "descr, fortran_order and shape");
    p->at += strspn(p->at, " \t\r\n");
    return *p->at ? expected(p, "nothing more") : CNN_OK;
}

/* *start: where the elements begin. */
static cnn_status read_header(const cnn_source *source, header *h, uint64_t *start) {
    uint8_t prefix[PREFIX] = {0}, size[4] = {0};
    if (source->size >= PREFIX) CNN_TRY(cnn_source_read(source, prefix, 0, PREFIX));
    if (memcmp(prefix, magic, MAGIC) != 0)
        return cnn_fail(CNN_ERROR_FORMAT, "%s is not a .npy file", source->name);
    if (prefix[MAGIC] < 1 || prefix[MAGIC] > 3)
        return cnn_fail(CNN_ERROR_FORMAT, "%s: expected version 1 to 3 of the .npy format, got %d.%d",
                        source->name, prefix[MAGIC], prefix[MAGIC + 1]);
    size_t width = prefix[MAGIC] == 1 ? 2 : 4;
    CNN_TRY(cnn_source_read(source, size, PREFIX, width));
    uint32_t length = size[0] | (uint32_t)size[1] << 8 | (uint32_t)size[2] << 16 | (uint32_t)size[3] << 24;
    if (length > MOST_HEADER)
        return cnn_fail(CNN_ERROR_FORMAT, "%s: expected a header of at most %d bytes, got %lu", source->name,
                        MOST_HEADER, (unsigned long)length);
    char *text = cnn_malloc(length + 1);
    if (!text) return cnn_fail_memory(length + 1);
    cnn_status status = cnn_source_read(source, text, PREFIX + width, length);
    text[length] = '\0';
    if (status == CNN_OK && strlen(text) != length)
        status = cnn_fail(CNN_ERROR_FORMAT, "%s: a zero byte in its header", source->name);
    if (status == CNN_OK) status = parse_header(&(parser){source->name, text}, h);
    cnn_free(text);
    *start = PREFIX + width + length;
    return status;
}

/* ---- loading ------------------------------------------------------------------------------------------------ */

/* The first axis of a file in Fortran order varies fastest: it is the transpose of what lies there. */
static cnn_status load_fortran(cnn_tensor **out, const cnn_source *source, uint64_t start, const header *h) {
    int64_t reversed[CNN_MAX_RANK];
    for (int i = 0; i < h->rank; i++) reversed[i] = h->shape[h->rank - 1 - i];
    cnn_tensor *stored;
    CNN_TRY(cnn_elements_read(&stored, source, start, source->size - start, h->element, h->rank, reversed));
    cnn_status status = cnn_transpose(out, stored, NULL);
    cnn_tensor_release(stored);
    return status;
}

static cnn_status load(cnn_tensor **out, const cnn_source *source) {
    header h = {.rank = 0};
    uint64_t start = 0;
    CNN_TRY(read_header(source, &h, &start));
    if (h.fortran_order && h.rank > 1) return load_fortran(out, source, start, &h);
    return cnn_elements_read(out, source, start, source->size - start, h.element, h.rank, h.shape);
}

cnn_status cnn_npy_load(cnn_tensor **out, const char *path) {
    cnn_source file;
    cnn_status status = cnn_source_open(&file, path);
    if (status != CNN_OK) return cnn_fail_in(status, "npy_load");
    status = load(out, &file);
    cnn_source_close(&file);
    return status == CNN_OK ? CNN_OK : cnn_fail_in(status, "npy_load");
}

/* The tensor in the member NAME.npy, and NAME. */
static cnn_status load_member(cnn_named_tensor *out, cnn_archive *archive, int index, const char *path) {
    const char *name = cnn_archive_name(archive, index);
    size_t length = strlen(name);
    if (length < 4 || strcmp(name + length - 4, ".npy") != 0)
        return cnn_fail(CNN_ERROR_FORMAT, "%s: expected .npy files in it, got %.200s", path, name);
    char place[512];
    snprintf(place, sizeof place, "%.300s: %.200s", path, name);
    void *bytes;
    size_t size;
    CNN_TRY(cnn_archive_read(&bytes, &size, archive, index));
    cnn_source member = {.name = place, .bytes = bytes, .size = size};
    cnn_tensor *tensor;
    cnn_status status = load(&tensor, &member);
    cnn_free(bytes);
    if (status != CNN_OK) return status;
    out->name = cnn_malloc(length + 1);
    if (!out->name) {
        cnn_tensor_release(tensor);
        return cnn_fail_memory(length + 1);
    }
    memcpy(out->name, name, length - 4);
    out->name[length - 4] = '\0';
    out->tensor = tensor;
    return CNN_OK;
}

static cnn_status load_members(cnn_named_tensor **out, int *count, cnn_archive *archive, const char *path) {
    int members = cnn_archive_count(archive), loaded = 0;
    cnn_named_tensor *tensors = cnn_calloc((size_t)members * sizeof *tensors);
    if (!tensors) return cnn_fail_memory((size_t)members * sizeof *tensors);
    cnn_status status = CNN_OK;
    while (loaded < members && status == CNN_OK) {
        status = load_member(&tensors[loaded], archive, loaded, path);
        if (status == CNN_OK) loaded++;
    }
    if (status != CNN_OK) {
        cnn_named_tensors_free(tensors, loaded);
        return status;
    }
    *out = tensors;
    *count = loaded;
    return CNN_OK;
}

cnn_status cnn_npz_load(cnn_named_tensor **out, int *count, const char *path) {
    cnn_archive *archive;
    cnn_status status = cnn_archive_open(&archive, path);
    if (status != CNN_OK) return cnn_fail_in(status, "npz_load");
    status = load_members(out, count, archive, path);
    cnn_archive_close(archive);
    return status == CNN_OK ? CNN_OK : cnn_fail_in(status, "npz_load");
}

/* ---- saving ------------------------------------------------------------------------------------------------- */

/* The tensor, or what NumPy can have of it; the caller's to release. */
static cnn_status make_storable(cnn_tensor **out, const cnn_tensor *tensor) {
    if (tensor->dtype == CNN_BFLOAT16) return cnn_cast(out, tensor, CNN_FLOAT32);
    *out = cnn_tensor_retain((cnn_tensor *)tensor);
    return CNN_OK;
}

/* All that goes before the elements, version 1.0; returns its length. The longest shape leaves room. */
static size_t write_head(char head[HEAD], const cnn_tensor *tensor) {
    const char *descr = tensor->dtype == CNN_FLOAT32 ? "<f4" : tensor->dtype == CNN_INT32 ? "<i4" : "|u1";
    size_t begin = PREFIX + 2;
    size_t at = begin + (size_t)snprintf(head + begin, HEAD - begin,
                                         "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (int i = 0; i < tensor->rank; i++)
        at += (size_t)snprintf(head + at, HEAD - at, i == 0 ? "%lld" : ", %lld", (long long)tensor->shape[i]);
    at += (size_t)snprintf(head + at, HEAD - at, tensor->rank == 1 ? ",), }" : "), }");
    size_t length = CNN_ROUND_UP(at + 1, CNN_ALIGN);
    memset(head + at, ' ', length - at);
    head[length - 1] = '\n';
    memcpy(head, magic, MAGIC);
    head[MAGIC] = 1;
    head[MAGIC + 1] = 0;
    head[PREFIX] = (char)((length - begin) & 0xff);
    head[PREFIX + 1] = (char)((length - begin) >> 8);
    return length;
}

static cnn_status save(const char *path, const cnn_tensor *tensor) {
    char head[HEAD];
    size_t length = write_head(head, tensor);
    cnn_file file;
    CNN_TRY(cnn_file_create(&file, path));
    fwrite(head, 1, length, file.stream); /* commit tells whether all went well */
    fwrite(tensor->data, 1, cnn_tensor_bytes(tensor), file.stream);
    return cnn_file_commit(&file);
}

cnn_status cnn_npy_save(const char *path, const cnn_tensor *tensor) {
    cnn_tensor *storable = NULL;
    CNN_TRY(cnn_check_values("npy_save", tensor));
    CNN_TRY(make_storable(&storable, tensor));
    cnn_status status = save(path, storable);
    cnn_tensor_release(storable);
    return status == CNN_OK ? CNN_OK : cnn_fail_in(status, "npy_save");
}

/* What a member of an archive is made of, until it is written. */
typedef struct part {
    cnn_tensor *tensor;
    char *name;
    char head[HEAD];
} part;

static cnn_status make_part(part *p, cnn_member *member, const cnn_named_tensor *named) {
    size_t length = strlen(named->name);
    CNN_TRY(make_storable(&p->tensor, named->tensor));
    p->name = cnn_malloc(length + 5);
    if (!p->name) return cnn_fail_memory(length + 5);
    memcpy(p->name, named->name, length);
    memcpy(p->name + length, ".npy", 5);
    *member = (cnn_member){.name = p->name,
                           .bytes = p->tensor->data,
                           .size = cnn_tensor_bytes(p->tensor),
                           .head = p->head,
                           .head_size = write_head(p->head, p->tensor)};
    return CNN_OK;
}

static cnn_status save_parts(const char *path, part *parts, cnn_member *members,
                             const cnn_named_tensor *tensors, int count, bool compress) {
    for (int i = 0; i < count; i++) CNN_TRY(make_part(&parts[i], &members[i], &tensors[i]));
    return cnn_archive_write(path, members, count, compress);
}

cnn_status cnn_npz_save(const char *path, const cnn_named_tensor *tensors, int count, bool compress) {
    if (count < 1) return cnn_fail(CNN_ERROR_ARGUMENT, "npz_save: expected one tensor at least, got none");
    for (int i = 0; i < count; i++) CNN_TRY(cnn_check_values("npz_save", tensors[i].tensor));
    size_t bytes = (size_t)count * (sizeof(part) + sizeof(cnn_member));
    part *parts = cnn_calloc(bytes);
    if (!parts) return cnn_fail_memory(bytes);
    cnn_member *members = (cnn_member *)(parts + count);
    cnn_status status = save_parts(path, parts, members, tensors, count, compress);
    for (int i = 0; i < count; i++) {
        cnn_free(parts[i].name);
        cnn_tensor_release(parts[i].tensor);
    }
    cnn_free(parts);
    return status == CNN_OK ? CNN_OK : cnn_fail_in(status, "npz_save");
}
