/* IDX, the format MNIST came in (http://yann.lecun.com/exdb/mnist, "the IDX file format"): two zero bytes, a
 * type, a rank, one big-endian 32-bit size per axis, then the elements, big endian, row major.
 *
 * zlib reads plain and gzip files alike. What a header announces is held against the size of the file before
 * memory is taken for it: exactly for plain files, by deflate's best ratio for gzip. */
#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "tensor/tensor.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { HEADER = 4 + 4 * CNN_MAX_RANK, CHUNK = 1 << 18, MAX_DEFLATE_RATIO = 1032 };

typedef struct idx_type {
    uint8_t code;
    uint8_t size; /* of an element in the file */
    cnn_dtype dtype;
} idx_type;

static const idx_type types[] = {{0x08, 1, CNN_UINT8}, {0x09, 1, CNN_INT32},   {0x0B, 2, CNN_INT32},
                                 {0x0C, 4, CNN_INT32}, {0x0D, 4, CNN_FLOAT32}, {0x0E, 8, CNN_FLOAT32}};

static uint32_t big_endian(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void put_big_endian(uint8_t *bytes, uint32_t word) {
    for (int i = 0; i < 4; i++) bytes[i] = (uint8_t)(word >> (24 - 8 * i));
}

/* ---- reading ------------------------------------------------------------------------------------------- */

typedef struct reader {
    const char *path;
    gzFile gz;
    uint64_t file_size;
    const idx_type *type;
    int rank;
    int64_t shape[CNN_MAX_RANK];
    uint64_t bytes; /* of the elements, by the header */
} reader;

static cnn_status fail_format(const reader *in, const char *what) {
    return cnn_fail(CNN_ERROR_FORMAT, "idx_load: %s %s", in->path, what);
}

static cnn_status fail_short(const reader *in, uint64_t expected, uint64_t came) {
    return cnn_fail(CNN_ERROR_FORMAT, "idx_load: %s is cut short: expected %llu bytes, got %llu", in->path,
                    (unsigned long long)expected, (unsigned long long)came);
}

/* Reads up to size bytes; *got is less only at the end of the file. */
static cnn_status read_some(reader *in, void *out, size_t size, size_t *got) {
    *got = 0;
    while (*got < size) {
        if (cnn_interrupted()) return cnn_fail(CNN_ERROR_INTERRUPTED, "idx_load: interrupted");
        size_t rest = size - *got;
        int count = gzread(in->gz, (uint8_t *)out + *got, (unsigned)(rest < CHUNK ? rest : CHUNK));
        if (count > 0) *got += (size_t)count;
        if (count > 0) continue;
        int error;
        const char *message = gzerror(in->gz, &error);
        if (error == Z_ERRNO)
            return cnn_fail(CNN_ERROR_IO, "idx_load: cannot read %s: %s", in->path, strerror(errno));
        if (error == Z_MEM_ERROR) return cnn_fail_memory(CHUNK);
        if (error != Z_OK &&
            error != Z_BUF_ERROR) /* Z_BUF_ERROR: the file ended, which callers tell better */
            return cnn_fail(CNN_ERROR_FORMAT, "idx_load: %s is a damaged gzip file: %s", in->path, message);
        return CNN_OK;
    }
    return CNN_OK;
}

static cnn_status parse_sizes(reader *in, const uint8_t *sizes) {
    uint64_t bytes = in->type->size;
    bool too_large = false, empty = false;
    for (int i = 0; i < in->rank; i++) {
        in->shape[i] = big_endian(sizes + 4 * i);
        empty = empty || in->shape[i] == 0;
        too_large = __builtin_mul_overflow(bytes, (uint64_t)in->shape[i], &bytes) || too_large;
    }
    in->bytes = empty ? 0 : bytes;
    if (too_large && !empty) return fail_format(in, "announces more elements than any file can hold");
    return CNN_OK;
}

static cnn_status read_header(reader *in) {
    uint8_t header[HEADER];
    size_t got;
    CNN_TRY(read_some(in, header, 4, &got));
    if (in->file_size == 0) return fail_format(in, "is empty");
    if (got < 4) return fail_short(in, 4, got);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (header[2] == types[i].code) in->type = &types[i];
    in->rank = header[3];
    if (header[0] || header[1] || !in->type || in->rank > CNN_MAX_RANK)
        return cnn_fail(CNN_ERROR_FORMAT,
                        "idx_load: %s is not an IDX file: expected 0, 0, a type (8, 9, 11 to 14) and a rank "
                        "(0 to %d), got %d, %d, %d, %d",
                        in->path, CNN_MAX_RANK, header[0], header[1], header[2], header[3]);
    size_t size = 4 * (size_t)in->rank;
    CNN_TRY(read_some(in, header + 4, size, &got));
    if (got < size) return fail_short(in, 4 + size, 4 + got);
    return parse_sizes(in, header + 4);
}

/* Before anything is allocated: can the file hold what its header announces? */
static cnn_status check_size(reader *in) {
    uint64_t header = 4 + 4 * (uint64_t)in->rank, expected = header + in->bytes;
    if (expected < header) return fail_format(in, "announces more elements than any file can hold");
    if (gzdirect(in->gz)) {
        if (in->file_size < expected) return fail_short(in, expected, in->file_size);
        return CNN_OK;
    }
    if (expected / MAX_DEFLATE_RATIO <= in->file_size) return CNN_OK;
    return cnn_fail(
        CNN_ERROR_FORMAT,
        "idx_load: %s is cut short: expected %llu bytes, more than its %llu compressed bytes can hold",
        in->path, (unsigned long long)expected, (unsigned long long)in->file_size);
}

static void decode(const idx_type *type, const uint8_t *in, void *out, size_t count) {
    int32_t *integers = out;
    float *floats = out;
    for (size_t i = 0; i < count; i++, in += type->size) switch (type->code) {
        case 0x09:
            integers[i] = (int8_t)in[0];
            break;
        case 0x0B:
            integers[i] = (int16_t)(in[0] << 8 | in[1]);
            break;
        case 0x0C:
            integers[i] = (int32_t)big_endian(in);
            break;
        case 0x0D: {
            uint32_t word = big_endian(in);
            memcpy(&floats[i], &word, sizeof word);
            break;
        }
        case 0x0E: {
            uint64_t word = (uint64_t)big_endian(in) << 32 | big_endian(in + 4);
            double value;
            memcpy(&value, &word, sizeof word);
            floats[i] = (float)value;
            break;
        }
        }
}

static cnn_status read_elements(reader *in, cnn_tensor *tensor) {
    uint64_t header = 4 + 4 * (uint64_t)in->rank, done = 0;
    bool as_is = in->type->code == 0x08; /* straight into the tensor */
    uint8_t *buffer = as_is ? NULL : cnn_malloc(CHUNK);
    if (!as_is && !buffer) return cnn_fail_memory(CHUNK);
    cnn_status status = CNN_OK;
    while (done < in->bytes && status == CNN_OK) {
        size_t want = in->bytes - done < CHUNK ? (size_t)(in->bytes - done) : CHUNK, got;
        status = read_some(in, as_is ? cnn_u8(tensor) + done : buffer, want, &got);
        if (status == CNN_OK && got < want) status = fail_short(in, header + in->bytes, header + done + got);
        size_t first = (size_t)(done / in->type->size);
        if (status == CNN_OK && !as_is)
            decode(in->type, buffer, (uint8_t *)tensor->data + first * cnn_dtype_size(tensor->dtype),
                   want / in->type->size);
        done += want;
    }
    cnn_free(buffer);
    return status;
}

/* Nothing may follow the elements; for gzip, getting to the end is also what checks its checksum. */
static cnn_status read_end(reader *in) {
    uint8_t more;
    size_t got;
    CNN_TRY(read_some(in, &more, 1, &got));
    uint64_t expected = 4 + 4 * (uint64_t)in->rank + in->bytes;
    if (got > 0 && gzdirect(in->gz))
        return cnn_fail(CNN_ERROR_FORMAT, "idx_load: %s is too long: expected %llu bytes, got %llu", in->path,
                        (unsigned long long)expected, (unsigned long long)in->file_size);
    if (got > 0)
        return cnn_fail(CNN_ERROR_FORMAT, "idx_load: %s is too long: expected %llu bytes, got more", in->path,
                        (unsigned long long)expected);
    int error;
    gzerror(in->gz, &error);
    return error == Z_BUF_ERROR ? fail_format(in, "is cut short: its gzip stream has no end") : CNN_OK;
}

static cnn_status read_tensor(reader *in, cnn_tensor **out) {
    CNN_TRY(read_header(in));
    CNN_TRY(check_size(in));
    cnn_tensor *tensor;
    CNN_TRY(cnn_tensor_alloc(&tensor, in->type->dtype, in->rank, in->shape));
    cnn_status status = read_elements(in, tensor);
    if (status == CNN_OK) status = read_end(in);
    if (status == CNN_OK)
        *out = tensor;
    else
        cnn_tensor_release(tensor);
    return status;
}

static cnn_status open_reader(reader *in) {
    /* O_NONBLOCK: opening a pipe must not wait for a writer; on files it means nothing. */
    int fd = open(in->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return cnn_fail(CNN_ERROR_IO, "idx_load: cannot open %s: %s", in->path, strerror(errno));
    struct stat info;
    cnn_status status = CNN_OK;
    if (fstat(fd, &info) != 0)
        status = cnn_fail(CNN_ERROR_IO, "idx_load: cannot read %s: %s", in->path, strerror(errno));
    else if (!S_ISREG(info.st_mode))
        status = cnn_fail(CNN_ERROR_IO, "idx_load: %s: expected a file, got a %s", in->path,
                          S_ISDIR(info.st_mode) ? "folder" : "device or pipe");
    else if (!(in->gz = gzdopen(fd, "rb")))
        status = cnn_fail_memory(CHUNK);
    if (status != CNN_OK) {
        close(fd);
        return status;
    }
    in->file_size = (uint64_t)info.st_size;
    gzbuffer(in->gz, CHUNK / 2);
    return CNN_OK;
}

cnn_status cnn_idx_load(cnn_tensor **out, const char *path) {
    reader in = {.path = path};
    CNN_TRY(open_reader(&in));
    cnn_status status = read_tensor(&in, out);
    gzclose(in.gz);
    return status;
}

/* ---- writing ------------------------------------------------------------------------------------------- */

typedef struct writer {
    cnn_file file;
    gzFile gz; /* NULL: plain */
} writer;

/* A plain file's failures show when it is committed, gzip's only here. */
static cnn_status write_some(writer *out, const void *bytes, size_t size) {
    if (cnn_interrupted()) return cnn_fail(CNN_ERROR_INTERRUPTED, "idx_save: interrupted");
    bool done = out->gz ? gzwrite(out->gz, bytes, (unsigned)size) == (int)size
                        : fwrite(bytes, 1, size, out->file.stream) == size;
    return done ? CNN_OK
                : cnn_fail(CNN_ERROR_IO, "idx_save: cannot write %s: %s", out->file.path, strerror(errno));
}

static cnn_status write_header(writer *out, const cnn_tensor *tensor) {
    uint8_t header[HEADER] = {0};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].dtype == tensor->dtype && types[i].size == cnn_dtype_size(tensor->dtype))
            header[2] = types[i].code;
    header[3] = (uint8_t)tensor->rank;
    for (int i = 0; i < tensor->rank; i++) put_big_endian(header + 4 + 4 * i, (uint32_t)tensor->shape[i]);
    return write_some(out, header, 4 + 4 * (size_t)tensor->rank);
}

static cnn_status write_elements(writer *out, const cnn_tensor *tensor) {
    enum { BLOCK = 4096 };
    uint8_t buffer[4 * BLOCK];
    size_t width = cnn_dtype_size(tensor->dtype);
    for (int64_t from = 0; from < tensor->size; from += BLOCK) {
        size_t count = (size_t)(tensor->size - from < BLOCK ? tensor->size - from : BLOCK);
        memcpy(buffer, (const uint8_t *)tensor->data + (size_t)from * width, count * width);
        for (size_t i = 0; width == 4 && i < count; i++) {
            uint32_t word;
            memcpy(&word, buffer + 4 * i, sizeof word);
            put_big_endian(buffer + 4 * i, word);
        }
        CNN_TRY(write_some(out, buffer, count * width));
    }
    return CNN_OK;
}

static cnn_status open_gzip(writer *out) {
    int fd = dup(fileno(out->file.stream));
    if (fd < 0)
        return cnn_fail(CNN_ERROR_IO, "idx_save: cannot write %s: %s", out->file.path, strerror(errno));
    out->gz = gzdopen(fd, "wb");
    if (!out->gz) close(fd);
    return out->gz ? CNN_OK : cnn_fail_memory(CHUNK);
}

static cnn_status write_tensor(writer *out, const char *path, const cnn_tensor *tensor) {
    size_t length = strlen(path);
    if (length >= 3 && strcmp(path + length - 3, ".gz") == 0) CNN_TRY(open_gzip(out));
    cnn_status status = write_header(out, tensor);
    if (status == CNN_OK) status = write_elements(out, tensor);
    if (out->gz && gzclose(out->gz) != Z_OK && status == CNN_OK)
        status = cnn_fail(CNN_ERROR_IO, "idx_save: cannot write %s: %s", out->file.path, strerror(errno));
    return status;
}

cnn_status cnn_idx_save(const char *path, const cnn_tensor *tensor) {
    if (!tensor->data)
        return cnn_fail(CNN_ERROR_ARGUMENT, "idx_save: expected a tensor with data, got a symbolic one");
    if (tensor->dtype == CNN_BFLOAT16)
        return cnn_fail(CNN_ERROR_DTYPE, "idx_save: expected uint8, int32 or float32, got bfloat16");
    for (int i = 0; i < tensor->rank; i++)
        if (tensor->shape[i] > UINT32_MAX)
            return cnn_fail(CNN_ERROR_SHAPE, "idx_save: expected sizes below 2^32, got %lld on axis %d",
                            (long long)tensor->shape[i], i);
    writer out = {0};
    cnn_status status = cnn_file_create(&out.file, path);
    if (status != CNN_OK) return cnn_fail_in(status, "idx_save");
    status = write_tensor(&out, path, tensor);
    if (status != CNN_OK) {
        cnn_file_abandon(&out.file);
        return status;
    }
    status = cnn_file_commit(&out.file);
    return status == CNN_OK ? CNN_OK : cnn_fail_in(status, "idx_save");
}
