#include "io/arrays.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "tensor/tensor.h"

#include <string.h>

/* ---- numbers ------------------------------------------------------------------------------------------------ */

/* Converts n elements; returns how many were good before the first that the target cannot hold. */
typedef size_t convert(void *restrict out, const void *restrict in, size_t n);

#define WIDEN(name, To, From)                                                                                \
    static size_t name(void *restrict out, const void *restrict in, size_t n) {                              \
        To *to = out;                                                                                        \
        const From *from = in;                                                                               \
        for (size_t i = 0; i < n; i++) to[i] = (To)from[i];                                                  \
        return n;                                                                                            \
    }

/* The search for what does not fit comes after, so that the loop is of vector instructions. */
#define NARROW(name, From, fits)                                                                             \
    static size_t name(void *restrict out, const void *restrict in, size_t n) {                              \
        int32_t *to = out;                                                                                   \
        const From *from = in;                                                                               \
        bool good = true;                                                                                    \
        for (size_t i = 0; i < n; i++) {                                                                     \
            to[i] = (int32_t)from[i];                                                                        \
            good &= fits(from[i]);                                                                           \
        }                                                                                                    \
        if (good) return n;                                                                                  \
        size_t i = 0;                                                                                        \
        while (fits(from[i])) i++;                                                                           \
        return i;                                                                                            \
    }

static inline bool signed_fits(int64_t x) {
    return x == (int32_t)x;
}

static inline bool unsigned_fits(uint64_t x) {
    return x <= INT32_MAX;
}

WIDEN(f32_of_f64, float, double)
WIDEN(i32_of_i8, int32_t, int8_t)
WIDEN(i32_of_i16, int32_t, int16_t)
WIDEN(i32_of_u16, int32_t, uint16_t)
NARROW(i32_of_i64, int64_t, signed_fits)
NARROW(i32_of_u32, uint32_t, unsigned_fits)
NARROW(i32_of_u64, uint64_t, unsigned_fits)

/* IEEE 754 binary16: 5 bits of exponent, 10 of fraction. Subnormal ones are multiples of 2^-24. */
static size_t f32_of_f16(void *restrict out, const void *restrict in, size_t n) {
    float *to = out;
    const uint16_t *from = in;
    for (size_t i = 0; i < n; i++) {
        uint32_t exponent = from[i] >> 10 & 31, fraction = from[i] & 1023;
        uint32_t bits = (exponent == 31 ? 255 : exponent + 112) << 23 | fraction << 13, small_bits;
        float subnormal = (float)fraction * 0x1p-24f;
        memcpy(&small_bits, &subnormal, sizeof small_bits);
        bits = (exponent == 0 ? small_bits : bits) | (uint32_t)(from[i] & 0x8000) << 16;
        memcpy(&to[i], &bits, sizeof bits);
    }
    return n;
}

typedef struct element_type {
    cnn_element_kind kind;
    uint8_t width;
    cnn_dtype dtype;
    convert *convert; /* NULL: they are the dtype's own */
} element_type;

static const element_type types[] = {
    {CNN_ELEMENT_FLOAT, 4, CNN_FLOAT32, NULL},        {CNN_ELEMENT_FLOAT, 2, CNN_FLOAT32, f32_of_f16},
    {CNN_ELEMENT_FLOAT, 8, CNN_FLOAT32, f32_of_f64},  {CNN_ELEMENT_BFLOAT, 2, CNN_BFLOAT16, NULL},
    {CNN_ELEMENT_SIGNED, 1, CNN_INT32, i32_of_i8},    {CNN_ELEMENT_SIGNED, 2, CNN_INT32, i32_of_i16},
    {CNN_ELEMENT_SIGNED, 4, CNN_INT32, NULL},         {CNN_ELEMENT_SIGNED, 8, CNN_INT32, i32_of_i64},
    {CNN_ELEMENT_UNSIGNED, 1, CNN_UINT8, NULL},       {CNN_ELEMENT_UNSIGNED, 2, CNN_INT32, i32_of_u16},
    {CNN_ELEMENT_UNSIGNED, 4, CNN_INT32, i32_of_u32}, {CNN_ELEMENT_UNSIGNED, 8, CNN_INT32, i32_of_u64},
};

static const element_type *find_type(cnn_number_type element) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].kind == element.kind && types[i].width == element.width) return &types[i];
    return NULL;
}

bool cnn_element_known(cnn_number_type element) {
    return find_type(element) != NULL;
}

static void swap_bytes(void *block, int width, size_t n) {
    uint16_t *shorts = block;
    uint32_t *words = block;
    uint64_t *longs = block;
    if (width == 2)
        for (size_t i = 0; i < n; i++) shorts[i] = __builtin_bswap16(shorts[i]);
    if (width == 4)
        for (size_t i = 0; i < n; i++) words[i] = __builtin_bswap32(words[i]);
    if (width == 8)
        for (size_t i = 0; i < n; i++) longs[i] = __builtin_bswap64(longs[i]);
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

enum { BUFFER = 1 << 18 };

static cnn_status fail_number(const cnn_source *source, const element_type *type, const void *element,
                              int64_t position) {
    char number[32] = "";
    if (type->width == 4)
        snprintf(number, sizeof number, "%lu", (unsigned long)*(const uint32_t *)element);
    else if (type->kind == CNN_ELEMENT_UNSIGNED)
        snprintf(number, sizeof number, "%llu", (unsigned long long)*(const uint64_t *)element);
    else
        snprintf(number, sizeof number, "%lld", (long long)*(const int64_t *)element);
    return cnn_fail(CNN_ERROR_DTYPE, "%s: expected whole numbers that int32 holds, got %s (element %lld)",
                    source->name, number, (long long)position);
}

/* Elements that are the tensor's own go straight there; others through a buffer. */
static cnn_status read_own(cnn_tensor *t, const cnn_source *source, uint64_t from, cnn_number_type element) {
    CNN_TRY(cnn_source_read(source, t->data, from, cnn_tensor_bytes(t)));
    if (element.swapped) swap_bytes(t->data, element.width, (size_t)t->size);
    return CNN_OK;
}

static cnn_status read_converted(cnn_tensor *t, const cnn_source *source, uint64_t from,
                                 cnn_number_type element, const element_type *type) {
    void *buffer = cnn_malloc(BUFFER);
    if (!buffer) return cnn_fail_memory(BUFFER);
    int64_t most = BUFFER / element.width;
    cnn_status status = CNN_OK;
    for (int64_t done = 0; done < t->size && status == CNN_OK; done += most) {
        size_t n = (size_t)(t->size - done < most ? t->size - done : most);
        status = cnn_source_read(source, buffer, from + (uint64_t)done * element.width, n * element.width);
        if (status != CNN_OK) break;
        if (element.swapped) swap_bytes(buffer, element.width, n);
        size_t good = type->convert((char *)t->data + (size_t)done * cnn_dtype_size(t->dtype), buffer, n);
        if (good < n)
            status = fail_number(source, type, (char *)buffer + good * element.width, done + (int64_t)good);
    }
    cnn_free(buffer);
    return status;
}

/* What the shape needs against what is there, before memory is taken for it. */
static cnn_status check_bytes(const cnn_source *source, uint64_t bytes, int width, int rank,
                              const int64_t *shape) {
    uint64_t needed = (uint64_t)width;
    bool too_large = false, empty = false;
    for (int i = 0; i < rank; i++) {
        empty = empty || shape[i] == 0;
        too_large = __builtin_mul_overflow(needed, (uint64_t)shape[i], &needed) || too_large;
    }
    if (empty ? bytes == 0 : !too_large && needed == bytes) return CNN_OK;
    char text[CNN_SHAPE_TEXT];
    return cnn_fail(CNN_ERROR_FORMAT, "%s: the shape %s with elements of %d byte%s does not fit %llu bytes",
                    source->name, cnn_shape_text(text, sizeof text, rank, shape), width,
                    width == 1 ? "" : "s", (unsigned long long)bytes);
}

cnn_status cnn_elements_read(cnn_tensor **out, const cnn_source *source, uint64_t from, uint64_t bytes,
                             cnn_number_type element, int rank, const int64_t *shape) {
    const element_type *type = find_type(element);
    if (!type) return cnn_fail(CNN_ERROR_DTYPE, "%s: elements of an unknown type", source->name);
    CNN_TRY(check_bytes(source, bytes, element.width, rank, shape));
    cnn_tensor *t;
    CNN_TRY(cnn_tensor_alloc_for(source->name, &t, type->dtype, rank, shape));
    cnn_status status =
        type->convert ? read_converted(t, source, from, element, type) : read_own(t, source, from, element);
    if (status == CNN_OK)
        *out = t;
    else
        cnn_tensor_release(t);
    return status;
}

/* ---- lists -------------------------------------------------------------------------------------------------- */

void cnn_named_tensors_free(cnn_named_tensor *tensors, int count) {
    for (int i = 0; i < count; i++) {
        cnn_free(tensors[i].name);
        cnn_tensor_release(tensors[i].tensor);
    }
    cnn_free(tensors);
}
