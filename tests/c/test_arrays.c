/* Files of tensors: .npy, .npz and safetensors hold what was saved, to the bit; those of others are read whatever their
 * element type and byte order; what cannot be read is refused by name, and damage does no harm. */
#include "files.h"

#include "base/memory.h"

enum { BOUND = 1 << 20 }; /* bytes: no block larger than this for the small files here */

static void assert_same(const cnn_tensor *a, const cnn_tensor *b) {
    assert_int_equal(a->dtype, b->dtype);
    assert_true(cnn_same_shape(a, b));
    if (a->size > 0) assert_memory_equal(a->data, b->data, cnn_tensor_bytes(a));
}

/* A tensor of bytes of no particular pattern, NaNs among its floats. */
static cnn_tensor *noise(cnn_dtype dtype, int rank, const int64_t *shape) {
    cnn_tensor *t = NULL;
    OK(cnn_tensor_new(&t, dtype, rank, shape));
    for (size_t i = 0; i < cnn_tensor_bytes(t); i++) ((uint8_t *)t->data)[i] = (uint8_t)(i * 167 + i / 3 + 9);
    return t;
}

static cnn_tensor *make_noise(cnn_dtype dtype, int i) {
    static const int64_t shape[] = {2, 3, 1, 2, 2, 1, 3, 2}, empty[] = {3, 0, 2}, long_axis[] = {100003};
    if (i <= CNN_MAX_RANK) return noise(dtype, i, shape);
    return i == CNN_MAX_RANK + 1 ? noise(dtype, 3, empty) : noise(dtype, 1, long_axis);
}

enum { NOISES = CNN_MAX_RANK + 3 };

/* ---- .npy --------------------------------------------------------------------------------------------------- */

static void npy_round_trip(void **state) {
    (void)state;
    char *path = in_folder("a.npy");
    const cnn_dtype dtypes[] = {CNN_FLOAT32, CNN_UINT8, CNN_INT32};
    for (int i = 0; i < 3 * NOISES; i++) {
        cnn_tensor *t = make_noise(dtypes[i % 3], i / 3), *back = NULL;
        OK(cnn_npy_save(path, t));
        OK(cnn_npy_load(&back, path));
        assert_same(t, back);
        cnn_tensor_release(t);
        cnn_tensor_release(back);
    }
    unlink(path);
}

static void npy_is_written_as_numpy_writes_it(void **state) {
    (void)state;
    char *path = in_folder("a.npy");
    cnn_tensor *t = TENSOR(CNN_INT32, SHAPE(2, 3), 1, 2, 3, 4, 5, -6);
    OK(cnn_npy_save(path, t));
    cnn_tensor_release(t);
    assert_file(path,
                "\x93NUMPY\x01\x00v\x00{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), }"
                "                                                          \n"
                "\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5\0\0\0\xfa\xff\xff\xff",
                128 + 24);
    unlink(path);
}

static void npy_bfloat16_becomes_float32(void **state) {
    (void)state;
    char *path = in_folder("a.npy");
    cnn_tensor *t = TENSOR(CNN_BFLOAT16, SHAPE(3), 1.5, -2, 3e38), *back = NULL;
    OK(cnn_npy_save(path, t));
    OK(cnn_npy_load(&back, path));
    EXPECT(back, CNN_FLOAT32, SHAPE(3), 1.5, -2, cnn_tensor_get(t, 2));
    cnn_tensor_release(t);
    unlink(path);
}

/* A .npy of this version with the header as it stands and these elements. */
static char *put_npy(int version, const char *header, const void *elements, size_t size) {
    char bytes[1024] = "\x93NUMPY", *path = in_folder("made.npy");
    size_t width = version == 1 ? 2 : 4, length = strlen(header);
    bytes[6] = (char)version;
    for (size_t i = 0; i < width; i++) bytes[8 + i] = (char)(length >> 8 * i);
    memcpy(bytes + 8 + width, header, length);
    memcpy(bytes + 8 + width + length, elements, size);
    put(path, bytes, 8 + width + length + size);
    return path;
}

static void npy_headers_of_any_layout_are_read(void **state) {
    (void)state;
    static const char *const headers[] = {
        "{'descr': '<i4', 'fortran_order': False, 'shape': (2, 1), }       \n",
        "{'shape':(2,1),'descr':'<i4','fortran_order':False}",
        " { \"fortran_order\" : False , \"shape\" : ( 2 , 1 , ) , \"descr\" : \"<i4\" } \n\n",
        "{'descr': '=i4', 'fortran_order': False, 'shape': (2L, 1L), }",
        "{'descr': 'i4', 'fortran_order': False, 'shape': (2, 1)}\t",
    };
    for (int i = 0; i < 15; i++) {
        cnn_tensor *t = NULL;
        OK(cnn_npy_load(&t, put_npy(1 + i % 3, headers[i / 3], "\7\0\0\0\xfe\xff\xff\xff", 8)));
        EXPECT(t, CNN_INT32, SHAPE(2, 1), 7, -2);
    }
}

static void npy_wrong_headers_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *header, *message;
        cnn_status status;
    } cases[] = {
        {"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "got '|O'", CNN_ERROR_DTYPE},
        {"{'descr': '<U5', 'fortran_order': False, 'shape': (1,), }", "got '<U5'", CNN_ERROR_DTYPE},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", "got '<c8'", CNN_ERROR_DTYPE},
        {"{'descr': '<f16', 'fortran_order': False, 'shape': (1,), }", "got '<f16'", CNN_ERROR_DTYPE},
        {"{'descr': '<f3', 'fortran_order': False, 'shape': (1,), }", "got '<f3'", CNN_ERROR_DTYPE},
        {"{'descr': '', 'fortran_order': False, 'shape': (1,), }", "got ''", CNN_ERROR_DTYPE},
        {"{'descr': '<b2', 'fortran_order': False, 'shape': (1,), }", "got '<b2'", CNN_ERROR_DTYPE},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", "got '[('a', '<f4')]",
         CNN_ERROR_FORMAT},
        {"{'descr': '<f4', 'fortran_order': 0, 'shape': (1,), }", "True or False", CNN_ERROR_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1), }", "comma after the only size",
         CNN_ERROR_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", "expected a size", CNN_ERROR_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1 1), }", "comma or the end", CNN_ERROR_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': 1, }", "a shape like", CNN_ERROR_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }",
         "at most 8 axes, got more", CNN_ERROR_SHAPE},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", "too large",
         CNN_ERROR_SHAPE},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387905,), }",
         "does not fit 4 bytes", CNN_ERROR_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 0), }", "does not fit 4 bytes",
         CNN_ERROR_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", "does not fit 4 bytes",
         CNN_ERROR_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (), } x", "nothing more", CNN_ERROR_FORMAT},
        {"{'descr': '<f4', 'fortran_order': False, }", "descr, fortran_order and shape", CNN_ERROR_FORMAT},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (), }", "once each",
         CNN_ERROR_FORMAT},
        {"{'descr': '<f4', 'name': 1, 'shape': (), }", "once each", CNN_ERROR_FORMAT},
        {"{'descr': '<f4' 'shape': (), }", "comma or the end", CNN_ERROR_FORMAT},
        {"{'descr': '<f4', 'shape': (", "its header ends where a size should be", CNN_ERROR_FORMAT},
        {"{'descr': '<f4", "a dtype of numbers", CNN_ERROR_FORMAT},
        {"", "its header ends where a dict should be", CNN_ERROR_FORMAT},
        {"__import__('os').system('true')", "expected a dict", CNN_ERROR_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cnn_tensor *t = NULL;
        char *path = put_npy(1, cases[i].header, "\0\0\0\0", 4);
        assert_fails(cnn_npy_load(&t, path), cases[i].status, cases[i].message);
        assert_non_null(strstr(cnn_error_message(), path));
        assert_null(t);
    }
    cnn_tensor *t = NULL;
    assert_fails(cnn_npy_load(&t, put_npy(4, "{}", "", 0)), CNN_ERROR_FORMAT, "version 1 to 3");
    put(in_folder("made.npy"), "\x93NUMPY\2\0\xff\xff\xff\xff{", 13);
    assert_fails(cnn_npy_load(&t, in_folder("made.npy")), CNN_ERROR_FORMAT, "at most 65536 bytes");
    put(in_folder("made.npy"), "nonsense, nothing more", 22);
    assert_fails(cnn_npy_load(&t, in_folder("made.npy")), CNN_ERROR_FORMAT, "is not a .npy file");
    assert_fails(cnn_npy_load(&t, in_folder("none.npy")), CNN_ERROR_IO, "No such file");
    assert_null(t);
}

/* One element of each type: its code, its bytes little endian, its value, the dtype it becomes. */
static void npy_elements_of_all_types(void **state) {
    (void)state;
    static const struct {
        char code[3];
        const char *bytes;
        double value;
        cnn_dtype dtype;
    } cases[] = {
        {"f4", "\0\0\xc0\x3f", 1.5, CNN_FLOAT32},
        {"f8", "\0\0\0\0\0\0\x04\xc0", -2.5, CNN_FLOAT32},
        {"f2", "\0\x3e", 1.5, CNN_FLOAT32},
        {"f2", "\1\x80", -0x1p-24, CNN_FLOAT32}, /* the smallest */
        {"f2", "\xff\x03", 1023 * 0x1p-24, CNN_FLOAT32},
        {"f2", "\0\x04", 0x1p-14, CNN_FLOAT32},
        {"f2", "\xff\x7b", 65504, CNN_FLOAT32}, /* the largest */
        {"f2", "\0\xfc", -INFINITY, CNN_FLOAT32},
        {"f2", "\1\x7c", NAN, CNN_FLOAT32},
        {"b1", "\1", 1, CNN_UINT8},
        {"u1", "\xff", 255, CNN_UINT8},
        {"i1", "\xff", -1, CNN_INT32},
        {"i2", "\0\x80", -32768, CNN_INT32},
        {"u2", "\0\x80", 32768, CNN_INT32},
        {"i4", "\0\0\0\x80", -2147483648.0, CNN_INT32},
        {"u4", "\xff\xff\xff\x7f", 2147483647, CNN_INT32},
        {"i8", "\0\0\0\x80\xff\xff\xff\xff", -2147483648.0, CNN_INT32},
        {"i8", "\xff\xff\xff\x7f\0\0\0\0", 2147483647, CNN_INT32},
        {"u8", "\xff\xff\xff\x7f\0\0\0\0", 2147483647, CNN_INT32},
    };
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        char header[128], bytes[8];
        int big = (int)i % 2, width = cases[i / 2].code[1] - '0';
        for (int j = 0; j < width; j++) bytes[j] = cases[i / 2].bytes[big ? width - 1 - j : j];
        snprintf(header, sizeof header, "{'descr': '%c%s', 'fortran_order': False, 'shape': (), }",
                 big ? '>' : '<', cases[i / 2].code);
        cnn_tensor *t = NULL;
        OK(cnn_npy_load(&t, put_npy(1, header, bytes, (size_t)width)));
        assert_true(isinf(cases[i / 2].value) ? isinf(cnn_tensor_get(t, 0)) : true);
        EXPECT(t, cases[i / 2].dtype, SCALAR, cases[i / 2].value);
    }
}

static void npy_numbers_that_do_not_fit_are_named(void **state) {
    (void)state;
    static const struct {
        const char *code, *bytes, *message;
    } cases[] = {{"<i8", "\0\0\0\x80\0\0\0\0", "got 2147483648 (element 1)"},
                 {"<i8", "\xff\xff\xff\x7f\xff\xff\xff\xff", "got -2147483649 (element 1)"},
                 {"<u8", "\xff\xff\xff\xff\xff\xff\xff\xff", "got 18446744073709551615 (element 1)"},
                 {">u8", "\0\0\0\1\0\0\0\0", "got 4294967296 (element 1)"},
                 {"<u4", "\0\0\0\x80", "got 2147483648 (element 1)"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char header[128], bytes[24] = {0};
        size_t width = (size_t)(cases[i].code[2] - '0');
        memcpy(bytes + width, cases[i].bytes, width);
        snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': (3,), }",
                 cases[i].code);
        cnn_tensor *t = NULL;
        assert_fails(cnn_npy_load(&t, put_npy(1, header, bytes, 3 * width)), CNN_ERROR_DTYPE,
                     cases[i].message);
    }
}

static void npy_fortran_order_is_transposed(void **state) {
    (void)state;
    cnn_tensor *t = NULL;
    OK(cnn_npy_load(
        &t, put_npy(1, "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }", "\1\4\2\5\3\6", 6)));
    EXPECT(t, CNN_UINT8, SHAPE(2, 3), 1, 2, 3, 4, 5, 6);
    OK(cnn_npy_load(&t, put_npy(1, "{'descr': '|i1', 'fortran_order': True, 'shape': (2,), }", "\1\2", 2)));
    EXPECT(t, CNN_INT32, SHAPE(2), 1, 2);
}

/* ---- .npz --------------------------------------------------------------------------------------------------- */

static void npz_round_trip(void **state) {
    (void)state;
    char *path = in_folder("a.npz");
    for (int compress = 0; compress < 2; compress++) {
        cnn_named_tensor tensors[NOISES], *back = NULL;
        char names[NOISES][32];
        int count = 0;
        for (int i = 0; i < NOISES; i++) {
            snprintf(names[i], sizeof names[i], "layer/%d.npy", i);
            tensors[i] = (cnn_named_tensor){names[i], make_noise(i % 2 ? CNN_FLOAT32 : CNN_UINT8, i)};
        }
        OK(cnn_npz_save(path, tensors, NOISES, compress));
        OK(cnn_npz_load(&back, &count, path));
        assert_int_equal(count, NOISES);
        for (int i = 0; i < NOISES; i++) {
            assert_string_equal(back[i].name, names[i]);
            assert_same(back[i].tensor, tensors[i].tensor);
            cnn_tensor_release(tensors[i].tensor);
        }
        cnn_named_tensors_free(back, count);
    }
    unlink(path);
}

static void npz_errors(void **state) {
    (void)state;
    char *path = in_folder("a.npz");
    cnn_tensor *t = TENSOR(CNN_FLOAT32, SHAPE(2), 1, 2), *symbolic = NULL;
    OK(cnn_input(&symbolic, SHAPE(2), CNN_FLOAT32, "x"));
    cnn_named_tensor tensors[] = {{(char *)"a", t}, {(char *)"a", t}}, *back = NULL;
    int count = 7;
    assert_fails(cnn_npz_save(path, tensors, 2, false), CNN_ERROR_ARGUMENT,
                 "npz_save: "
                 "/tmp"); /* and the file */
    assert_fails(cnn_npz_save(path, tensors, 2, false), CNN_ERROR_ARGUMENT, "two members are named 'a.npy'");
    assert_fails(cnn_npz_save(path, tensors, 0, false), CNN_ERROR_ARGUMENT, "one tensor at least");
    tensors[1].tensor = symbolic;
    assert_fails(cnn_npz_save(path, tensors, 2, false), CNN_ERROR_ARGUMENT, "npz_save: a symbolic tensor");
    assert_fails(cnn_npy_save(path, symbolic), CNN_ERROR_ARGUMENT, "npy_save: a symbolic tensor");
    assert_fails(cnn_safetensors_save(path, tensors, 2), CNN_ERROR_ARGUMENT, "safetensors_save: a symbolic");
    assert_fails(cnn_npz_load(&back, &count, path), CNN_ERROR_IO, "npz_load: cannot open");
    OK(cnn_npy_save(path, t));
    assert_fails(cnn_npz_load(&back, &count, path), CNN_ERROR_FORMAT, "is not a zip archive");
    assert_null(back);
    assert_int_equal(count, 7);
    cnn_tensor_release(t);
    cnn_tensor_release(symbolic);
    unlink(path);
}

static void npz_bfloat16_becomes_float32(void **state) {
    (void)state;
    char *path = in_folder("a.npz");
    cnn_named_tensor tensors[] = {{(char *)"b", TENSOR(CNN_BFLOAT16, SHAPE(2), 0.5, -7)}}, *back = NULL;
    int count = 0;
    OK(cnn_npz_save(path, tensors, 1, true));
    OK(cnn_npz_load(&back, &count, path));
    EXPECT(cnn_tensor_retain(back->tensor), CNN_FLOAT32, SHAPE(2), 0.5, -7);
    cnn_named_tensors_free(back, count);
    cnn_tensor_release(tensors[0].tensor);
    unlink(path);
}

/* ---- safetensors -------------------------------------------------------------------------------------------- */

static void safetensors_round_trip(void **state) {
    (void)state;
    char *path = in_folder("a.safetensors");
    cnn_named_tensor tensors[4 * NOISES], *back = NULL;
    char names[4 * NOISES][32];
    int count = 0;
    for (int i = 0; i < 4 * NOISES; i++) {
        snprintf(names[i], sizeof names[i], "%d \"é\"/\n", i);
        tensors[i] = (cnn_named_tensor){names[i], make_noise((cnn_dtype)(i % 4), i / 4)};
    }
    OK(cnn_safetensors_save(path, tensors, 4 * NOISES));
    OK(cnn_safetensors_load(&back, &count, path));
    assert_int_equal(count, 4 * NOISES);
    for (int i = 0; i < count; i++) {
        assert_string_equal(back[i].name, names[i]);
        assert_same(back[i].tensor, tensors[i].tensor);
        cnn_tensor_release(tensors[i].tensor);
    }
    cnn_named_tensors_free(back, count);
    OK(cnn_safetensors_save(path, NULL, 0));
    OK(cnn_safetensors_load(&back, &count, path));
    assert_int_equal(count, 0);
    cnn_named_tensors_free(back, count);
    unlink(path);
}

/* Wide elements first, so that all are aligned; the header as long as a multiple of 8. */
static void safetensors_bytes(void **state) {
    (void)state;
    char *path = in_folder("a.safetensors");
    cnn_named_tensor tensors[] = {{(char *)"u", TENSOR(CNN_UINT8, SHAPE(3), 1, 2, 3)},
                                  {(char *)"b", TENSOR(CNN_BFLOAT16, SCALAR, 1)},
                                  {(char *)"f", TENSOR(CNN_FLOAT32, SHAPE(1, 1), 1.5)}};
    OK(cnn_safetensors_save(path, tensors, 3));
    static const char header[] = "{\"__metadata__\":{\"format\":\"pt\"},"
                                 "\"u\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[6,9]},"
                                 "\"b\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[4,6]},"
                                 "\"f\":{\"dtype\":\"F32\",\"shape\":[1,1],\"data_offsets\":[0,4]}}";
    char bytes[400] = {0};
    size_t length = (sizeof header - 1 + 7) / 8 * 8;
    bytes[0] = (char)length;
    memset(bytes + 8, ' ', length);
    memcpy(bytes + 8, header, sizeof header - 1);
    memcpy(bytes + 8 + length, "\0\0\xc0\x3f\x80\x3f\1\2\3", 9);
    assert_file(path, bytes, 8 + length + 9);
    for (int i = 0; i < 3; i++) cnn_tensor_release(tensors[i].tensor);
    unlink(path);
}

static char *put_safetensors(const char *header, const void *elements, size_t size) {
    char bytes[1024] = {0}, *path = in_folder("made.safetensors");
    size_t length = strlen(header);
    bytes[0] = (char)length;
    bytes[1] = (char)(length >> 8);
    memcpy(bytes + 8, header, length);
    memcpy(bytes + 8 + length, elements, size);
    put(path, bytes, 8 + length + size);
    return path;
}

static void safetensors_of_others_are_read(void **state) {
    (void)state;
    cnn_named_tensor *t = NULL;
    int count = 0;
    OK(cnn_safetensors_load(
        &t, &count,
        put_safetensors("{\"w\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[8,12]},"
                        "\"__metadata__\":{\"a\":\"b\"},"
                        "\"i\":{\"shape\":[1],\"data_offsets\":[0,8],\"dtype\":\"I64\"},"
                        "\"e\":{\"shape\":[0,5],\"data_offsets\":[14,14],\"dtype\":\"F64\"},"
                        "\"b\":{\"dtype\":\"BOOL\",\"shape\":[],\"data_offsets\":[13,14]}}   ",
                        "\xfe\xff\xff\xff\xff\xff\xff\xff\0\x3c\0\xc0 \1", 14)));
    assert_int_equal(count, 4);
    assert_string_equal(t[0].name, "w");
    EXPECT(cnn_tensor_retain(t[0].tensor), CNN_FLOAT32, SHAPE(2), 1, -2);
    EXPECT(cnn_tensor_retain(t[1].tensor), CNN_INT32, SHAPE(1), -2);
    assert_int_equal(t[2].tensor->size, 0);
    EXPECT(cnn_tensor_retain(t[3].tensor), CNN_UINT8, SCALAR, 1);
    cnn_named_tensors_free(t, count);
}

static void safetensors_that_are_wrong_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *header, *message;
        cnn_status status;
    } cases[] = {
        {"[]", "no JSON object", CNN_ERROR_FORMAT},
        {"{\"a\":", "no JSON object", CNN_ERROR_FORMAT},
        {" {}", "no JSON object", CNN_ERROR_FORMAT},
        {"{\"a\":1}", "'a'", CNN_ERROR_DTYPE},
        {"{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[4],\"data_offsets\":[0,4]}}", "got F8_E4M3",
         CNN_ERROR_DTYPE},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", "'a' has no shape", CNN_ERROR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", "at most 8 axes",
         CNN_ERROR_SHAPE},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", "no whole number",
         CNN_ERROR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", "no whole number",
         CNN_ERROR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", "'a' has no data_offsets", CNN_ERROR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", "no data_offsets",
         CNN_ERROR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", "no data_offsets",
         CNN_ERROR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", "end at byte 8 of 4",
         CNN_ERROR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,1e300]}}", "no data_offsets",
         CNN_ERROR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", "does not fit 4 bytes",
         CNN_ERROR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1048576,4503599627370496],\"data_offsets\":[0,4]}}",
         "does not fit 4 bytes", CNN_ERROR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
         "'b' shares bytes", CNN_ERROR_FORMAT},
        {"{\"a\":{\"dtype\":\"U32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "got 4294967295",
         CNN_ERROR_DTYPE},
    };
    cnn_named_tensor *t = NULL;
    int count = 7;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = put_safetensors(cases[i].header, "\xff\xff\xff\xff", 4);
        assert_fails(cnn_safetensors_load(&t, &count, path), cases[i].status, cases[i].message);
        assert_non_null(strstr(cnn_error_message(), path));
    }
    put(in_folder("made.safetensors"), "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10);
    assert_fails(cnn_safetensors_load(&t, &count, in_folder("made.safetensors")), CNN_ERROR_FORMAT,
                 "a header of 18446744073709551615 bytes in a file of 10");
    put(in_folder("made.safetensors"), "\2\0\0", 3);
    assert_fails(cnn_safetensors_load(&t, &count, in_folder("made.safetensors")), CNN_ERROR_FORMAT,
                 "is not a safetensors file");
    assert_null(t);
    assert_int_equal(count, 7);
    cnn_named_tensor twice[] = {{(char *)"a", TENSOR(CNN_UINT8, SCALAR, 1)}, {(char *)"a", NULL}};
    twice[1].tensor = twice[0].tensor;
    assert_fails(cnn_safetensors_save("x", twice, 2), CNN_ERROR_ARGUMENT, "two tensors are named 'a'");
    twice[1].name = (char *)"__metadata__";
    assert_fails(cnn_safetensors_save("x", twice, 2), CNN_ERROR_ARGUMENT, "__metadata__");
    cnn_tensor_release(twice[0].tensor);
}

/* ---- others ------------------------------------------------------------------------------------------------- */

static void numpy_reads_what_is_written(void **state) {
    (void)state;
    cnn_named_tensor tensors[] = {{(char *)"f", TENSOR(CNN_FLOAT32, SHAPE(2, 2), 1.5, -2, 1e30, INFINITY)},
                                  {(char *)"u", TENSOR(CNN_UINT8, SHAPE(3), 0, 7, 255)},
                                  {(char *)"i", TENSOR(CNN_INT32, SCALAR, -5)}};
    OK(cnn_npy_save(in_folder("f.npy"), tensors[0].tensor));
    OK(cnn_npz_save(in_folder("a.npz"), tensors, 3, false));
    OK(cnn_npz_save(in_folder("c.npz"), tensors, 3, true));
    OK(cnn_safetensors_save(in_folder("a.safetensors"), tensors, 3));
    for (int i = 0; i < 3; i++) cnn_tensor_release(tensors[i].tensor);
    python("numpy",
           "import numpy as np, json, struct\n"
           "f = np.array([[1.5, -2], [1e30, np.inf]], 'f4'); u = np.array([0, 7, 255], 'u1')\n"
           "i = np.array(-5, 'i4')\n"
           "def same(a, b): assert a.dtype == b.dtype and a.shape == b.shape and (a == b).all(), (a, b)\n"
           "same(np.load('f.npy'), f)\n"
           "same(np.load('f.npy', mmap_mode='r'), f)\n"
           "for n in 'a.npz', 'c.npz':\n"
           "    z = np.load(n); assert z.files == ['f', 'u', 'i'], z.files\n"
           "    same(z['f'], f); same(z['u'], u); same(z['i'], i)\n"
           "b = open('a.safetensors', 'rb').read()\n"
           "n, = struct.unpack('<Q', b[:8]); h = json.loads(b[8:8+n]); d = b[8+n:]\n"
           "assert n % 8 == 0 and h.pop('__metadata__') == {'format': 'pt'}\n"
           "types = {'F32': '<f4', 'U8': 'u1', 'I32': '<i4'}\n"
           "for k, a in ('f', f), ('u', u), ('i', i):\n"
           "    s, e = h[k]['data_offsets']\n"
           "    assert s % a.itemsize == 0\n"
           "    same(np.frombuffer(d[s:e], types[h[k]['dtype']]).reshape(h[k]['shape']), a)\n"
           "assert sorted(x for v in h.values() for x in v['data_offsets']) == [0, 16, 16, 20, 20, 23]\n");
}

static void what_numpy_writes_is_read(void **state) {
    (void)state;
    python(
        "numpy",
        "import numpy as np, json, struct\n"
        "x = np.arange(24).reshape(2, 3, 4)\n"
        "np.savez('a.npz', x=x, f=np.asfortranarray(x.astype('f8')), h=x.astype('>f2'), b=x % 2 == 0)\n"
        "np.savez_compressed('c.npz', x=x, f=x.T.astype('f4').T, h=x.astype('f2'), b=x % 2 == 0)\n"
        "np.save('s.npy', np.array([('a', 1)], dtype=[('n', 'U3'), ('k', 'i4')]))\n"
        "np.save('o.npy', np.array([None, {}], dtype=object))\n"
        "d = x.astype('i8').tobytes()\n"
        "h = json.dumps({'x': {'dtype': 'I64', 'shape': [2, 3, 4], 'data_offsets': [0, len(d)]}}).encode()\n"
        "open('x.safetensors', 'wb').write(struct.pack('<Q', len(h)) + h + d)\n");
    static const cnn_dtype dtypes[] = {CNN_INT32, CNN_FLOAT32, CNN_FLOAT32, CNN_UINT8};
    for (int i = 0; i < 2; i++) {
        cnn_named_tensor *t = NULL;
        int count = 0;
        OK(cnn_npz_load(&t, &count, in_folder(i ? "c.npz" : "a.npz")));
        assert_int_equal(count, 4);
        for (int j = 0; j < 4; j++) {
            assert_int_equal(t[j].name[0], "xfhb"[j]);
            assert_int_equal(t[j].tensor->dtype, dtypes[j]);
            assert_int_equal(t[j].tensor->rank, 3);
            for (int k = 0; k < 24; k++)
                assert_true(cnn_tensor_get(t[j].tensor, k) == (j == 3 ? k % 2 == 0 : k));
        }
        cnn_named_tensors_free(t, count);
    }
    cnn_tensor *t = NULL;
    assert_fails(cnn_npy_load(&t, in_folder("s.npy")), CNN_ERROR_FORMAT, "[('n', '<U3'), ('k', '<i4')]");
    assert_fails(cnn_npy_load(&t, in_folder("o.npy")), CNN_ERROR_DTYPE, "got '|O'");
    cnn_named_tensor *list = NULL;
    int count = 0;
    OK(cnn_safetensors_load(&list, &count, in_folder("x.safetensors")));
    for (int k = 0; k < 24; k++) assert_int_equal(cnn_i32(list->tensor)[k], k);
    cnn_named_tensors_free(list, count);
}

/* ---- damage, memory, disk ----------------------------------------------------------------------------------- */

static cnn_status load_npy(const char *path) {
    cnn_tensor *t = NULL;
    cnn_status status = cnn_npy_load(&t, path);
    cnn_tensor_release(t);
    return status;
}

static cnn_status load_npz(const char *path) {
    cnn_named_tensor *t = NULL;
    int count = 0;
    cnn_status status = cnn_npz_load(&t, &count, path);
    cnn_named_tensors_free(t, count);
    return status;
}

static cnn_status load_safetensors(const char *path) {
    cnn_named_tensor *t = NULL;
    int count = 0;
    cnn_status status = cnn_safetensors_load(&t, &count, path);
    cnn_named_tensors_free(t, count);
    return status;
}

/* Two small tensors in a file of each kind. */
static cnn_status save_npy(const char *path, void *tensors) {
    return cnn_npy_save(path, ((cnn_named_tensor *)tensors)->tensor);
}

static cnn_status save_npz(const char *path, void *tensors) {
    return cnn_npz_save(path, tensors, 2, false);
}

static cnn_status save_npz_compressed(const char *path, void *tensors) {
    return cnn_npz_save(path, tensors, 2, true);
}

static cnn_status save_safetensors(const char *path, void *tensors) {
    return cnn_safetensors_save(path, tensors, 2);
}

static const struct {
    cnn_status (*save)(const char *path, void *tensors);
    cnn_status (*load)(const char *path);
} kinds[] = {{save_npy, load_npy},
             {save_npz, load_npz},
             {save_npz_compressed, load_npz},
             {save_safetensors, load_safetensors}};

enum { KINDS = sizeof kinds / sizeof *kinds };

static void make_two(cnn_named_tensor two[2]) {
    two[0] = (cnn_named_tensor){(char *)"first", TENSOR(CNN_FLOAT32, SHAPE(2, 3), 1, 2, 3, 4, 5, 6)};
    two[1] = (cnn_named_tensor){(char *)"b", TENSOR(CNN_BFLOAT16, SHAPE(3), 7, 8, 9)};
}

static void damaged_files_do_no_harm(void **state) {
    (void)state;
    cnn_named_tensor two[2];
    make_two(two);
    for (int i = 0; i < KINDS; i++) {
        char *path = in_folder("whole");
        OK(kinds[i].save(path, two));
        damage(path, kinds[i].load, BOUND);
        unlink(in_folder("whole"));
    }
    for (int i = 0; i < 2; i++) cnn_tensor_release(two[i].tensor);
}

static void a_full_disk_keeps_the_old_file(void **state) {
    (void)state;
    cnn_named_tensor two[2];
    make_two(two);
    for (int i = 0; i < KINDS; i++) assert_keeps_old(in_folder("file"), kinds[i].save, two);
    for (int i = 0; i < 2; i++) cnn_tensor_release(two[i].tensor);
}

typedef struct fault {
    int kind;
    cnn_named_tensor two[2];
} fault;

static cnn_status save_and_load(cnn_tensor **out, void *data) {
    (void)out;
    fault *f = data;
    char *path = in_folder("faulty");
    cnn_status status = kinds[f->kind].save(path, f->two);
    return status == CNN_OK ? kinds[f->kind].load(path) : status;
}

static void memory_that_runs_out_leaks_nothing(void **state) {
    (void)state;
    fault f;
    make_two(f.two);
    for (f.kind = 0; f.kind < KINDS; f.kind++) assert_survives(save_and_load, &f);
    for (int i = 0; i < 2; i++) cnn_tensor_release(f.two[i].tensor);
    unlink(in_folder("faulty"));
}

static void an_interruption_ends_loading(void **state) {
    (void)state;
    cnn_named_tensor two[2];
    make_two(two);
    for (int i = 0; i < KINDS; i++) {
        OK(kinds[i].save(in_folder("file"), two));
        cnn_interrupt();
        cnn_status status = kinds[i].load(in_folder("file"));
        cnn_interrupt_clear();
        assert_int_equal(status, CNN_ERROR_INTERRUPTED);
    }
    for (int i = 0; i < 2; i++) cnn_tensor_release(two[i].tensor);
    unlink(in_folder("file"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(npy_round_trip),
        cmocka_unit_test(npy_is_written_as_numpy_writes_it),
        cmocka_unit_test(npy_bfloat16_becomes_float32),
        cmocka_unit_test(npy_headers_of_any_layout_are_read),
        cmocka_unit_test(npy_wrong_headers_are_refused),
        cmocka_unit_test(npy_elements_of_all_types),
        cmocka_unit_test(npy_numbers_that_do_not_fit_are_named),
        cmocka_unit_test(npy_fortran_order_is_transposed),
        cmocka_unit_test(npz_round_trip),
        cmocka_unit_test(npz_errors),
        cmocka_unit_test(npz_bfloat16_becomes_float32),
        cmocka_unit_test(safetensors_round_trip),
        cmocka_unit_test(safetensors_bytes),
        cmocka_unit_test(safetensors_of_others_are_read),
        cmocka_unit_test(safetensors_that_are_wrong_are_refused),
        cmocka_unit_test(damaged_files_do_no_harm),
        cmocka_unit_test(a_full_disk_keeps_the_old_file),
        cmocka_unit_test(memory_that_runs_out_leaks_nothing),
        cmocka_unit_test(an_interruption_ends_loading),
        cmocka_unit_test(numpy_reads_what_is_written),
        cmocka_unit_test(what_numpy_writes_is_read),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
