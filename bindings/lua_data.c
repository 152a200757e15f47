/* Data for training: IDX files, labels as one-hot rows, splitting in two parts; and the few things of the
 * system that the loaders written in Lua (datasets/) cannot do themselves, in the table cnn.datasets.system,
 * which they take for themselves. */
#include "lua_cnn.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "data/split.h"
#include "io/archive.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

/* ---- IDX files ----------------------------------------------------------------------------------------- */

/*** Loads an IDX file, plain or gzip: the format of MNIST.
@function cnn.datasets.load_idx
@tparam text path
@treturn tensor uint8 of bytes without sign, int32 of other integers, float32 of numbers with a fraction
@raise a file that is not there, or no IDX file, or cut short
@usage
cnn.datasets.save_idx("labels.idx.gz", cnn.tensor({5, 0, 4}, "uint8"))
cnn.datasets.load_idx "labels.idx.gz"
--> uint8 (3,)
--> [5 0 4]
*/
static int load_idx(lua_State *L) {
    lcnn_args(L, 1, "load_idx", (const char *const[]){"path", NULL});
    const char *path = luaL_checkstring(L, 1);
    cnn_tensor *tensor;
    lcnn_check(L, cnn_idx_load(&tensor, path));
    lcnn_push_tensor(L, tensor);
    return 1;
}

/*** Saves a tensor as an IDX file, the format of MNIST. The file appears whole or not at all.
@function cnn.datasets.save_idx
@tparam text path gzip if it ends in .gz
@tparam tensor tensor uint8, int32 or float32
@usage
cnn.datasets.save_idx("images.idx", cnn.zeros{10, 28, 28, dtype = "uint8"})
cnn.datasets.load_idx("images.idx"):shape()              --> {10, 28, 28}
*/
static int save_idx(lua_State *L) {
    lcnn_args(L, 1, "save_idx", (const char *const[]){"path", "tensor", NULL});
    const char *path = luaL_checkstring(L, 1);
    lcnn_check(L, cnn_idx_save(path, lcnn_check_tensor(L, 2)));
    return 0;
}

/* ---- labels -------------------------------------------------------------------------------------------- */

/* Labels as to_categorical{y, num_classes} gives them: the list at 1 holds a tensor and perhaps a number. */
static void unwrap_labels(lua_State *L) {
    if (lua_type(L, 1) != LUA_TTABLE) return;
    lua_Unsigned count = lua_rawlen(L, 1);
    lua_rawgeti(L, 1, 1);
    if (count < 1 || count > 2 || !lcnn_test_tensor(L, 3)) {
        lua_pop(L, 1);
        return;
    }
    if (count == 2) {
        if (!lua_isnil(L, 2)) lcnn_fail(L, "to_categorical: got 'num_classes' twice");
        lua_rawgeti(L, 1, 2);
        lua_replace(L, 2);
    }
    lua_replace(L, 1);
}

static int64_t count_classes(lua_State *L, const cnn_tensor *labels) {
    if (labels->size < 1)
        lcnn_fail(L, "to_categorical: 'num_classes' must be given where there are no labels");
    cnn_tensor *largest;
    lcnn_check(L, cnn_reduce(&largest, CNN_MAX, labels, 0, false));
    double value = cnn_tensor_get(largest, 0);
    cnn_tensor_release(largest);
    return value >= 0 && value < 1e15 ? (int64_t)value + 1 : 1; /* what is no label is told by one_hot */
}

/*** Labels as rows of zeros with a one at the label's place (one-hot), as the loss categorical_crossentropy wants
them.
@function cnn.utils.to_categorical
@tparam tensor|table y labels, counted from 0, of any shape; a last axis of size 1 is dropped
@tparam[opt] int num_classes default: one more than the largest label
@treturn tensor float32, in the labels' shape with an axis of num_classes at the end
@raise a label that is not whole, negative, or not below num_classes
@usage
cnn.utils.to_categorical{0, 2, 1}
--> float32 (3, 3)
--> [[1. 0. 0.]
-->  [0. 0. 1.]
-->  [0. 1. 0.]]
cnn.utils.to_categorical({0, 2}, 10):shape()             --> {2, 10}
*/
static int to_categorical(lua_State *L) {
    lcnn_args(L, 1, "to_categorical", (const char *const[]){"*y", "num_classes", NULL});
    unwrap_labels(L);
    if (lua_isnil(L, 1)) lcnn_fail(L, "to_categorical: 'y' (the labels) is missing");
    int whole = 1;
    lua_Integer given = lua_isnil(L, 2) ? 0 : lua_tointegerx(L, 2, &whole);
    if (!whole || (given < 1 && !lua_isnil(L, 2)))
        lcnn_fail(L, "to_categorical: 'num_classes' must be a positive integer, got %s", lcnn_describe(L, 2));
    cnn_tensor *labels = lcnn_to_tensor(L, 1), *out;
    if (labels->rank >= 2 && labels->shape[labels->rank - 1] == 1) {
        lcnn_check(L, cnn_squeeze(&out, labels, -1));
        lcnn_push_tensor(L, out);
        lua_replace(L, 1);
        labels = lcnn_check_tensor(L, 1);
    }
    int64_t classes = given > 0 ? given : count_classes(L, labels);
    cnn_status status = cnn_one_hot(&out, labels, classes);
    if (status != CNN_OK) lcnn_error(L, cnn_fail_in(status, "to_categorical"));
    lcnn_push_tensor(L, out);
    return 1;
}

/* ---- two parts ----------------------------------------------------------------------------------------- */

enum { ARRAYS = 1, TEST_SIZE, TRAIN_SIZE, RANDOM_STATE, SHUFFLE, STRATIFY, FIRST_ARRAY };

/* Puts the arrays on the stack from FIRST_ARRAY on; the number of samples goes to *samples. */
static int unpack_arrays(lua_State *L, int64_t *samples) {
    if (lua_type(L, ARRAYS) != LUA_TTABLE || lua_rawlen(L, ARRAYS) == 0)
        lcnn_fail(L, "train_test_split: expected tensors, as in train_test_split{x, y, test_size = 0.2}");
    int count = (int)lua_rawlen(L, ARRAYS);
    luaL_checkstack(L, 3 * count + 10, "train_test_split");
    for (int i = 0; i < count; i++) {
        lua_rawgeti(L, ARRAYS, i + 1);
        const cnn_tensor *array = lcnn_to_tensor(L, FIRST_ARRAY + i);
        if (array->rank < 1) lcnn_fail(L, "train_test_split: argument %d has no axis to split", i + 1);
        if (i == 0) *samples = array->shape[0];
        if (array->shape[0] != *samples)
            lcnn_fail(L, "train_test_split: argument %d has %I samples, but the first has %I", i + 1,
                      (LUAI_UACINT)array->shape[0], (LUAI_UACINT)*samples);
    }
    return count;
}

/* A part's size from a fraction or a number of samples; -1 if not given. */
static int64_t part_size(lua_State *L, int arg, const char *name, int64_t samples) {
    if (lua_isnil(L, arg)) return -1;
    double value = lua_type(L, arg) == LUA_TNUMBER ? lua_tonumber(L, arg) : 0;
    double share = value * (double)samples;
    if (value > 0 && value < 1) return (int64_t)(arg == TEST_SIZE ? ceil(share) : floor(share));
    if (value >= 1 && value <= INT32_MAX && value == floor(value)) return (int64_t)value;
    return lcnn_fail(
        L, "train_test_split: '%s' must be a fraction between 0 and 1 or a number of samples, got %s", name,
        lcnn_describe(L, arg));
}

static void part_sizes(lua_State *L, cnn_split_options *options) {
    int64_t test = part_size(L, TEST_SIZE, "test_size", options->count);
    int64_t train = part_size(L, TRAIN_SIZE, "train_size", options->count);
    if (test < 0 && train < 0) test = (int64_t)ceil(0.25 * (double)options->count);
    options->test = test < 0 ? options->count - train : test;
    options->train = train < 0 ? options->count - test : train;
}

static cnn_random generator(lua_State *L) {
    if (lua_isnil(L, RANDOM_STATE)) return cnn_random_split(cnn_default_random());
    int whole;
    lua_Integer seed = lua_tointegerx(L, RANDOM_STATE, &whole);
    if (!whole || seed < 0)
        lcnn_fail(L, "train_test_split: 'random_state' must be an integer of at least 0, got %s",
                  lcnn_describe(L, RANDOM_STATE));
    cnn_random seeded = {.key = (uint64_t)seed};
    return cnn_random_split(&seeded);
}

/* Pushes positions [from, to) of those at index. */
static int push_positions(lua_State *L, int index, int64_t from, int64_t to) {
    cnn_tensor *part;
    lcnn_check(L, cnn_view(&part, lcnn_check_tensor(L, index), from, to));
    lcnn_push_tensor(L, part);
    return lua_gettop(L);
}

static void push_rows(lua_State *L, int array, int positions) {
    cnn_tensor *rows;
    lcnn_check(L, cnn_gather(&rows, lcnn_check_tensor(L, array), lcnn_check_tensor(L, positions), 0));
    lcnn_push_tensor(L, rows);
}

/*** Splits tensors in two parts along their first axis, as scikit-learn does: x_train, x_test, y_train, y_test. The
same random_state splits in the same way, but not as scikit-learn's random numbers would.
@function cnn.utils.train_test_split
@tparam {tensor,...} arrays with equally many samples; in the table of all arguments: train_test_split{x, y, test_size
= 0.2}
@tparam[opt=0.25] number test_size a fraction below 1, rounded up, or a number of samples
@tparam[opt] number train_size a fraction below 1, rounded down, or a number of samples; default: what test_size
leaves
@tparam[opt] int random_state the same number always gives the same parts; default: from the default generator
@tparam[opt=true] bool shuffle whether the samples are put in random order first; else the second part is the end
@tparam[opt] tensor stratify labels, or rows, whose classes are to be in both parts in equal proportions; needs
shuffle
@treturn tensor the first part of the first array, its second part, those of the second array, …: copies
@raise arrays of different lengths; an empty part; a class with only one member to stratify
@usage
x, y = cnn.arange(10) * 10, cnn.arange(10)
x_train, x_test, y_train, y_test = cnn.utils.train_test_split{x, y, test_size = 0.3, random_state = 1}
x_train:shape(1), x_test:shape(1)
--> 7
--> 3
cnn.equal(x_test, y_test * 10):all()                     -- x and y are still in the same order
--> true
labels = cnn.tensor({0, 0, 0, 0, 1, 1}, "int32")
_, _, a, b = cnn.utils.train_test_split{cnn.arange(6), labels, test_size = 0.5, stratify = labels}
a:sum():item(), b:sum():item()     -- one of the two ones in each part
--> 1
--> 1
*/
static int train_test_split(lua_State *L) {
    lcnn_args(L, 1, "train_test_split",
              (const char *const[]){"*arrays", "test_size", "train_size", "random_state", "shuffle",
                                    "stratify", NULL});
    cnn_split_options options = {.count = 0};
    int count = unpack_arrays(L, &options.count);
    part_sizes(L, &options);
    options.shuffle = lcnn_opt_boolean(L, SHUFFLE, "train_test_split", "shuffle", true);
    cnn_random random = generator(L);
    options.random = &random;
    if (!lua_isnil(L, STRATIFY)) options.classes = lcnn_to_tensor(L, STRATIFY);
    cnn_tensor *both;
    lcnn_check(L, cnn_split(&both, &options));
    lcnn_push_tensor(L, both);
    int positions = lua_gettop(L);
    int train = push_positions(L, positions, 0, options.train);
    int test = push_positions(L, positions, options.train, options.train + options.test);
    for (int i = 0; i < count; i++) {
        push_rows(L, FIRST_ARRAY + i, train);
        push_rows(L, FIRST_ARRAY + i, test);
    }
    return 2 * count;
}

/* ---- for the loaders in Lua ---------------------------------------------------------------------------- */

/* system.crc32(tensor): of its elements' bytes, as zlib computes it. */
static int crc32_of(lua_State *L) {
    const cnn_tensor *tensor = lcnn_check_tensor(L, 1);
    lua_pushinteger(L, (lua_Integer)crc32_z(crc32_z(0, NULL, 0), tensor->data, cnn_tensor_bytes(tensor)));
    return 1;
}

/* system.fail(message): raises it as if the caller of the module had. */
static int fail(lua_State *L) {
    return lcnn_fail(L, "%s", luaL_checkstring(L, 1));
}

/* system.path(who, …): the argument 'path' of …, by position or name; nil if there is none. */
static int path_argument(lua_State *L) {
    const char *who = luaL_checkstring(L, 1);
    lcnn_args(L, 2, who, (const char *const[]){"path", NULL});
    if (!lua_isnil(L, 2) && lua_type(L, 2) != LUA_TSTRING)
        lcnn_fail(L, "%s: 'path' must be the name of a folder, got %s", who, lcnn_describe(L, 2));
    return 1;
}

/* Does what is called so lie within the folder it is put in? */
static bool stays_within(const char *name) {
    if (*name == '/' || strchr(name, '\\')) return false;
    for (const char *part = name; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0')) return false;
    }
    return true;
}

/* Makes the folders that the path, at most PATH_MAX long, goes through from its position `from` on. */
static cnn_status make_folders(const char *path, size_t from) {
    char folder[PATH_MAX];
    for (const char *slash = strchr(path + from, '/'); slash; slash = strchr(slash + 1, '/')) {
        memcpy(folder, path, (size_t)(slash - path));
        folder[slash - path] = '\0';
        if (mkdir(folder, 0777) != 0 && errno != EEXIST)
            return cnn_fail(CNN_ERROR_IO, "cannot make the folder %s (%s)", folder, strerror(errno));
    }
    return CNN_OK;
}

static cnn_status write_file(const char *path, const void *bytes, size_t size) {
    cnn_file file;
    CNN_TRY(cnn_file_create(&file, path));
    fwrite(bytes, 1, size, file.stream); /* what fails here is told by commit */
    return cnn_file_commit(&file);
}

static cnn_status unpack_member(cnn_archive *archive, int index, const char *folder) {
    const char *name = cnn_archive_name(archive, index);
    if (!stays_within(name))
        return cnn_fail(CNN_ERROR_FORMAT, "the archive has a member outside of its folder: %.300s", name);
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (length < 0 || (size_t)length >= sizeof path)
        return cnn_fail(CNN_ERROR_FORMAT, "the archive has a member with too long a name: %.300s", name);
    CNN_TRY(make_folders(path, strlen(folder) + 1));
    if (path[length - 1] == '/') return CNN_OK; /* a folder */
    void *bytes;
    size_t size;
    CNN_TRY(cnn_archive_read(&bytes, &size, archive, index));
    cnn_status status = write_file(path, bytes, size);
    cnn_free(bytes);
    return status;
}

/* system.unzip(path, folder): unpacks a zip archive into a folder that is there and empty; true, or nil and what went
 * wrong, with a part of the members unpacked. Links become files. */
static int unzip(lua_State *L) {
    const char *path = luaL_checkstring(L, 1), *folder = luaL_checkstring(L, 2);
    cnn_archive *archive;
    cnn_status status = cnn_archive_open(&archive, path);
    if (status == CNN_OK) {
        for (int i = 0; i < cnn_archive_count(archive) && status == CNN_OK; i++)
            status = unpack_member(archive, i, folder);
        cnn_archive_close(archive);
    }
    if (status == CNN_ERROR_INTERRUPTED) lcnn_error(L, status);
    if (status == CNN_OK) {
        lua_pushboolean(L, true);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, cnn_error_message());
    return 2;
}

/* Where this code was loaded from: the module cnn.so or the program. */
static bool own_file(char path[PATH_MAX]) {
    Dl_info info;
    if (dladdr((void *)own_file, &info) && info.dli_fname) {
        size_t length = strlen(info.dli_fname);
        if (length > 3 && strcmp(info.dli_fname + length - 3, ".so") == 0)
            return realpath(info.dli_fname, path);
    }
    return realpath("/proc/self/exe", path);
}

/* system.source_tree(): the folder this was built in, if it runs from TREE/build/FLAVOUR/; else nil. */
static int source_tree(lua_State *L) {
    char path[PATH_MAX];
    if (!own_file(path)) return 0;
    char *cut[3];
    for (int i = 0; i < 3; i++) {
        cut[i] = strrchr(path, '/');
        if (!cut[i]) return 0;
        *cut[i] = '\0';
    }
    if (strcmp(cut[2] + 1, "build") != 0) return 0;
    const char *witness = lua_pushfstring(L, "%s/datasets/mnist.lua", path);
    if (access(witness, F_OK) != 0) return 0;
    lua_pushstring(L, path);
    return 1;
}

static const luaL_Reg dataset_functions[] = {{"load_idx", load_idx}, {"save_idx", save_idx}, {NULL, NULL}};

static const luaL_Reg utils_functions[] = {
    {"to_categorical", to_categorical}, {"train_test_split", train_test_split}, {NULL, NULL}};

static const luaL_Reg system_functions[] = {{"crc32", crc32_of},     {"fail", fail},
                                            {"path", path_argument}, {"source_tree", source_tree},
                                            {"unzip", unzip},        {NULL, NULL}};

int lcnn_open_data(lua_State *L) {
    luaL_getsubtable(L, 1, "utils");
    luaL_setfuncs(L, utils_functions, 0);
    luaL_getsubtable(L, 1, "datasets");
    luaL_setfuncs(L, dataset_functions, 0);
    luaL_newlib(L, system_functions);
    lua_setfield(L, -2, "system");
    return 0;
}
