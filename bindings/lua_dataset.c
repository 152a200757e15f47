/* cnn.data: datasets, what they are made of, and loops over them.
 *
 * A dataset is a userdata that holds one reference; its methods make new ones. The text in its first user value, how it
 * was made, is what tostring shows; the second holds the tables of its fields once they were asked for. */
#include "lua_carry.h"
#include "base/status.h"
#include "base/text.h"

#include <math.h>
#include <string.h>

#define ITERATOR "dataset iterator"

enum { HISTORY = 1, FIELDS, USER_VALUES = FIELDS };

/* ---- on the stack -------------------------------------------------------------------------------------- */

cnn_dataset *lcnn_test_dataset(lua_State *L, int index) {
    cnn_dataset **box = luaL_testudata(L, index, LCNN_DATASET);
    return box ? *box : NULL;
}

cnn_dataset *lcnn_check_dataset(lua_State *L, int arg) {
    cnn_dataset **box = luaL_checkudata(L, arg, LCNN_DATASET);
    if (!*box) luaL_argerror(L, arg, "the dataset is closed");
    return *box;
}

static int free_dataset(lua_State *L) {
    cnn_dataset **box = luaL_checkudata(L, 1, LCNN_DATASET);
    cnn_dataset_release(*box);
    *box = NULL;
    return 0;
}

/* Pushes an empty box, for a dataset that was made so. */
static cnn_dataset **new_box(lua_State *L, const char *made) {
    cnn_dataset **box = lua_newuserdatauv(L, sizeof *box, USER_VALUES);
    *box = NULL;
    luaL_setmetatable(L, LCNN_DATASET);
    lua_pushstring(L, made);
    lua_setiuservalue(L, -2, HISTORY);
    return box;
}

/* The same for one that a method, called so, makes of the dataset at 1. */
static cnn_dataset **new_step(lua_State *L, const char *made) {
    lua_getiuservalue(L, 1, HISTORY);
    return new_box(L, lua_pushfstring(L, "%s:%s", lua_tostring(L, -1), made));
}

/* ---- from tensors -------------------------------------------------------------------------------------- */

/* Whether a tensor lies in the nested table at index. */
static bool holds_tensor(lua_State *L, int index, int depth) {
    if (luaL_testudata(L, index, LCNN_TENSOR)) return true;
    if (lua_type(L, index) != LUA_TTABLE || depth > CNN_MAX_RANK) return false;
    luaL_checkstack(L, 4, "nested tables");
    index = lua_absindex(L, index);
    bool found = false;
    for (lua_Integer i = 1, count = (lua_Integer)lua_rawlen(L, index); i <= count && !found; i++) {
        lua_rawgeti(L, index, i);
        found = holds_tensor(L, -1, depth + 1);
        lua_pop(L, 1);
    }
    return found;
}

/* That the table at index has no names. */
static void check_list(lua_State *L, int index) {
    lua_Integer count = (lua_Integer)lua_rawlen(L, index);
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        lua_Integer position = lua_isinteger(L, -2) ? lua_tointeger(L, -2) : 0;
        if (position < 1 || position > count)
            lcnn_fail(L, "from_tensor_slices: unknown argument '%s'", luaL_tolstring(L, -2, NULL));
    }
}

/* Appends what the value on the top, which it pops, has of tensors to the table at index parts; lists of numbers become
 * tensors. */
static void flatten(lua_State *L, int parts, int depth) {
    int value = lua_gettop(L);
    luaL_checkstack(L, 6, "nested tables");
    if (depth > CNN_MAX_PARTS)
        lcnn_fail(L, "from_tensor_slices: the tensors are nested more than %d deep", CNN_MAX_PARTS);
    if (lua_type(L, value) == LUA_TTABLE) check_list(L, value);
    if (lua_type(L, value) != LUA_TTABLE || !holds_tensor(L, value, 0)) {
        int type = lua_type(L, value);
        if (type != LUA_TTABLE && !lcnn_test_tensor(L, value))
            lcnn_fail(L, "from_tensor_slices: expected tensors, as in from_tensor_slices{x, y}, got %s",
                      lcnn_describe(L, value));
        lcnn_to_tensor(L, value);
        lua_rawseti(L, parts, (lua_Integer)lua_rawlen(L, parts) + 1);
        return;
    }
    lua_Integer count = (lua_Integer)lua_rawlen(L, value);
    for (lua_Integer i = 1; i <= count; i++) {
        lua_rawgeti(L, value, i);
        flatten(L, parts, depth + 1);
    }
    lua_settop(L, value - 1);
}

/* Pushes "uint8 (60000, 28, 28), uint8 (60000)". */
static const char *push_shapes(lua_State *L, cnn_tensor *const *tensors, int count) {
    luaL_Buffer text;
    luaL_buffinit(L, &text);
    for (int i = 0; i < count; i++) {
        char sizes[CNN_SHAPE_TEXT];
        if (i > 0) luaL_addstring(&text, ", ");
        luaL_addstring(&text, cnn_dtype_name(tensors[i]->dtype));
        luaL_addchar(&text, ' ');
        luaL_addstring(&text, cnn_shape_text(sizes, sizeof sizes, tensors[i]->rank, tensors[i]->shape));
    }
    luaL_pushresult(&text);
    return lua_tostring(L, -1);
}

/*** A dataset: elements, each one or several tensors, that are made one after the other when they are looped over.
Of pictures and labels, say, or of whole batches of them. cnn.data.Dataset.from_tensor_slices,
cnn.utils.image_dataset_from_directory and an ImageDataGenerator's flow make them; their methods make new ones and
leave the old as they are. Nothing is computed before a loop, `for x, y in dataset:iter() do`, or fit, evaluate or
predict ask for elements; then worker threads make them ahead. #dataset is how many there are. A dataset prints as
what it was made by. Fields may be set, to keep what a script wants to know of it; `class_names` and `file_paths`
are those of pictures from folders.
@field dataset
@usage
x, y = cnn.arange(0, 6):reshape{6, 1}, cnn.tensor({0, 1, 0, 1, 0, 1}, "int32")
dataset = cnn.data.Dataset.from_tensor_slices{x, y}:batch(4)
print(dataset)
--> dataset of 2 elements: from_tensor_slices{int32 (6, 1), int32 (6,)}:batch(4)
for images, labels in dataset:iter() do print(images:shape()[1], labels) end
--> 4	[0 1 0 1]
--> 2	[0 1]
dataset.batc                         --> error: dataset: there is no 'batc' (did you mean 'batch'?)
*/
/*** Makes a dataset whose element i is row i of each tensor.
The tensors are shared, not copied. Several are given in one table, nested as one likes: {x, y}, {{x1, x2}, y}; the
elements have them in that order. Lists of numbers stand for tensors where there are others.
@function cnn.data.Dataset.from_tensor_slices
@tparam tensor|table tensors equally long
@treturn dataset
@raise tensors of different length; scalars; names in the table
@usage
dataset = cnn.data.Dataset.from_tensor_slices{cnn.tensor{{1, 2}, {3, 4}}, {10, 20}}
for x, y in dataset:iter() do print(x, y) end
--> [1. 2.]	10.0
--> [3. 4.]	20.0
#cnn.data.Dataset.from_tensor_slices(cnn.zeros{5, 2})  --> 5
cnn.data.Dataset.from_tensor_slices{cnn.zeros{3}, cnn.zeros{4}}
--> error: from_tensors: expected equally many rows, got 3 in tensor 1 and 4 in tensor 2
*/
static int from_tensor_slices(lua_State *L) {
    if (lua_gettop(L) != 1)
        lcnn_fail(L, "from_tensor_slices: expected one argument, as in from_tensor_slices{x, y}, got %d",
                  lua_gettop(L));
    lua_newtable(L);
    lua_insert(L, 1);
    flatten(L, 1, 0);
    cnn_tensor *tensors[CNN_MAX_PARTS];
    lua_Integer count = (lua_Integer)lua_rawlen(L, 1);
    if (count < 1 || count > CNN_MAX_PARTS)
        lcnn_fail(L, "from_tensor_slices: expected 1 to %d tensors, got %I", CNN_MAX_PARTS,
                  (LUAI_UACINT)count);
    luaL_checkstack(L, CNN_MAX_PARTS + 6, "from_tensor_slices");
    for (int i = 0; i < count; i++) {
        lua_rawgeti(L, 1, i + 1);
        tensors[i] = lcnn_check_eager(L, -1, "from_tensor_slices");
    }
    push_shapes(L, tensors, (int)count);
    cnn_dataset **box = new_box(L, lua_pushfstring(L, "from_tensor_slices{%s}", lua_tostring(L, -1)));
    lcnn_check(L, cnn_dataset_from_tensors(box, tensors, (int)count));
    return 1;
}

/* ---- from folders -------------------------------------------------------------------------------------- */

#define FOLDER "image_dataset_from_directory"

static const char *const folder_names[] = {"directory",
                                           "labels",
                                           "label_mode",
                                           "class_names",
                                           "color_mode",
                                           "batch_size",
                                           "image_size",
                                           "shuffle",
                                           "seed",
                                           "validation_split",
                                           "subset",
                                           "interpolation",
                                           "follow_links",
                                           "crop_to_aspect_ratio",
                                           "pad_to_aspect_ratio",
                                           "verbose",
                                           "strict",
                                           NULL};

/* What the binding itself needs of the arguments. */
typedef struct folder_request {
    const char *directory, *subset; /* on the stack; subset may be NULL */
    int64_t batch;                  /* 0: none */
    bool verbose, both;
} folder_request;

/* The argument, which is taken out of config; NULL if it is not there. It lives as long as the box that is pushed with it. */
static const cJSON *take_argument(lua_State *L, cJSON *config, const char *name) {
    cJSON *item = cJSON_DetachItemFromObjectCaseSensitive(config, name);
    if (item) lcnn_own_json(L, item);
    return item;
}

static void set_argument(lua_State *L, cJSON *config, const char *name, cJSON *value) {
    cJSON_DeleteItemFromObjectCaseSensitive(config, name);
    if (!value || !cJSON_AddItemToObject(config, name, value)) {
        cJSON_Delete(value);
        lcnn_error(L, cnn_fail(CNN_ERROR_MEMORY, FOLDER ": out of memory"));
    }
}

static folder_request read_folder(lua_State *L, cJSON *config) {
    folder_request f = {.batch = 32, .verbose = true};
    const cJSON *directory = take_argument(L, config, "directory");
    if (!cJSON_IsString(directory) || !*directory->valuestring)
        lcnn_fail(L, FOLDER ": 'directory' must be the name of a folder");
    f.directory = directory->valuestring;
    const cJSON *batch = take_argument(L, config, "batch_size");
    if (cJSON_IsFalse(batch) || cJSON_IsNull(batch)) {
        f.batch = 0;
    } else if (batch) {
        double size = cJSON_IsNumber(batch) ? batch->valuedouble : 0;
        if (!(size >= 1 && size <= INT32_MAX && size == floor(size)))
            lcnn_fail(L, FOLDER ": 'batch_size' must be a positive integer, or false for single pictures");
        f.batch = (int64_t)size;
    }
    const cJSON *verbose = take_argument(L, config, "verbose");
    if (verbose)
        f.verbose = !cJSON_IsFalse(verbose) && !(cJSON_IsNumber(verbose) && verbose->valuedouble == 0);
    const char *const optional[] = {"labels", "label_mode"};
    for (int i = 0; i < 2; i++)
        if (cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(config, optional[i])))
            set_argument(L, config, optional[i], cJSON_CreateNull());
    const cJSON *subset = cJSON_GetObjectItemCaseSensitive(config, "subset");
    f.subset = cJSON_IsString(subset) ? lua_pushstring(L, subset->valuestring) : NULL;
    f.both = f.subset && strcmp(f.subset, "both") == 0;
    if (f.both && !cJSON_GetObjectItemCaseSensitive(config, "seed")) {
        int32_t seed; /* the two parts must be of one order */
        cnn_random_integers(NULL, &seed, 1, 0, 1000000);
        set_argument(L, config, "seed", cJSON_CreateNumber(seed));
    }
    return f;
}

/* Pushes the pictures that config tells of, or a subset of them. */
static void push_folder(lua_State *L, const folder_request *f, cJSON *config, const char *subset) {
    int top = lua_gettop(L);
    if (subset) set_argument(L, config, "subset", cJSON_CreateString(subset));
    lcnn_push_text(L, cJSON_PrintUnformatted(config));
    const char *text = lua_tostring(L, -1);
    cnn_dataset **box = new_box(L, lua_pushfstring(L, FOLDER "{%s}", f->directory));
    lcnn_check(L, cnn_dataset_from_directory(box, f->directory, text));
    if (f->batch > 0) {
        cnn_dataset *single = *box;
        box = new_box(L, lua_pushfstring(L, FOLDER "{%s}:batch(%I)", f->directory, (LUAI_UACINT)f->batch));
        lcnn_check(L, cnn_dataset_batch(box, single, f->batch, false));
    }
    lua_replace(L, top + 1);
    lua_settop(L, top + 1);
}

static void print_line(lua_State *L, const char *line) {
    lua_getglobal(L, "print");
    lua_pushstring(L, line);
    lua_call(L, 1, 0);
}

static void print_used(lua_State *L, const cnn_dataset *part, const char *subset) {
    LUAI_UACINT count = cnn_dataset_file_count(part);
    print_line(L, lua_pushfstring(L, "Using %I files for %s.", count, subset));
}

/* Prints what Keras does, of one or both subsets from stack position first on. */
static void tell(lua_State *L, const folder_request *f, int first) {
    const cnn_dataset *part = lcnn_check_dataset(L, first);
    int classes = cnn_dataset_class_count(part);
    lua_pushfstring(L, "Found %I files", (LUAI_UACINT)cnn_dataset_found_count(part));
    if (classes > 0) lua_pushfstring(L, "%s belonging to %d classes", lua_tostring(L, -1), classes);
    print_line(L, lua_pushfstring(L, "%s.", lua_tostring(L, -1)));
    if (f->subset) print_used(L, part, f->both ? "training" : f->subset);
    if (f->both) print_used(L, lcnn_check_dataset(L, first + 1), "validation");
}

/*** Makes a dataset of the pictures in a folder that has a folder for each class.
Its elements are batches: float32 {n, height, width, channels}, from 0 to 255, and labels. Pictures (.jpg, .jpeg,
.png, .bmp, .gif, .pgm, .ppm, .pnm) are loaded and resized in worker threads when they are asked for. Arguments,
defaults and what is printed are Keras's. The dataset's fields are `class_names`, the folders sorted by name, whose
labels are 0, 1, …, and `file_paths`. A picture that does not decode is left out with a warning.
@function cnn.utils.image_dataset_from_directory
@tparam string directory
@tparam[opt="inferred"] string|{int,...}|bool labels "inferred" from the folders; a list, one for each file in order
of its path; false: none
@tparam[opt="int"] string|bool label_mode "int": int32 {n}; "binary": float32 {n, 1} of two classes; "categorical":
float32 {n, classes}, a one in each row; false: no labels
@tparam[opt] {string,...} class_names the folders, in the order of their labels; default: all, sorted
@tparam[opt="rgb"] string color_mode "rgb", "rgba" or "grayscale": 3, 4 or 1 channels
@tparam[opt=32] int|bool batch_size false: single pictures {height, width, channels}
@tparam[opt={256,256}] {int,...} image_size {height, width}
@tparam[opt=true] bool shuffle anew for each loop; false: sorted by path
@tparam[opt] int seed of the order
@tparam[opt] number validation_split the part, such as 0.2, that the subset "validation" has: the last of the
shuffled files
@tparam[opt] string subset "training", "validation", or "both": then two datasets are returned
@tparam[opt="bilinear"] string interpolation "nearest", "bilinear", "bicubic" or "area"
@tparam[opt=false] bool follow_links into folders
@tparam[opt=false] bool crop_to_aspect_ratio cut off what is too wide or too high, instead of distorting
@tparam[opt=false] bool pad_to_aspect_ratio put black beside, instead of distorting
@tparam[opt=true] bool verbose tell how many files were found
@tparam[opt=false] bool strict a picture that does not decode is an error
@treturn dataset and of subset "both" a second, of the validation
@raise a folder that is not there or has no pictures; validation_split without subset, or, shuffled, without seed
@usage
os.execute "mkdir -p photos/cats photos/dogs"
for i = 1, 3 do cnn.image.save(("photos/cats/%d.png"):format(i), cnn.zeros{8, 8, 3}) end
cnn.image.save("photos/dogs/1.png", cnn.ones{8, 8, 3})
train = cnn.utils.image_dataset_from_directory{"photos", image_size = {4, 4}, batch_size = 2, shuffle = false}
--> Found 4 files belonging to 2 classes.
train.class_names                    --> {"cats", "dogs"}
for images, labels in train:iter() do print(images:shape()[1], images:max(), labels) end
--> 2	0.0	[0 0]
--> 2	255.0	[0 1]
*/
static int image_dataset_from_directory(lua_State *L) {
    cJSON *config = lcnn_args_json(L, 1, FOLDER, folder_names);
    folder_request f = read_folder(L, config);
    int first = lua_gettop(L) + 1;
    push_folder(L, &f, config, f.both ? "training" : NULL);
    if (f.both) push_folder(L, &f, config, "validation");
    if (f.verbose) tell(L, &f, first);
    lua_settop(L, first + f.both);
    return 1 + f.both;
}

/* ---- made from others ---------------------------------------------------------------------------------- */

/* The number at arg; fallback if there is none or, as Keras's users have it, -1 or infinity. */
static int64_t opt_count(lua_State *L, int arg, const char *who, const char *name, int64_t fallback) {
    if (lua_isnil(L, arg)) return fallback;
    if (lua_type(L, arg) == LUA_TNUMBER && (lua_tonumber(L, arg) == -1 || lua_tonumber(L, arg) == HUGE_VAL))
        return fallback;
    return lcnn_check_integer(L, arg, who, name);
}

/* Pushes what tostring calls a function or object that maps. */
static const char *push_map_text(lua_State *L, int index) {
    lua_Debug about;
    if (lua_type(L, index) != LUA_TFUNCTION)
        return lua_pushfstring(L, "map(%s)", luaL_tolstring(L, index, NULL));
    lua_pushvalue(L, index);
    lua_getinfo(L, ">S", &about);
    return lua_pushfstring(L, "map(%s:%d)", about.short_src, about.linedefined);
}

/*** Makes a dataset of what a function makes of each element.
The function is given the element's tensors and last a generator of random numbers, and returns the tensors of the
new element; numbers become tensors. It must not write into tensors that it did not make. A pipeline of cnn.augment
or an ImageDataGenerator may stand for the function: it changes the first tensor.

The function runs in worker threads, each of which has a Lua of its own with a copy of the function as it is when
map is called. The local and global variables that it uses go along as copies: numbers, strings, tables, tensors,
functions, pipelines; what it sets is not seen outside. Whatever is random in it, math.random and cnn.random too,
follows from the seed (cnn.set_seed) and the element's place, so that the number of threads changes nothing.
@function dataset:map
@tparam function|pipeline|generator map_func
@tparam[opt] int num_parallel_calls ignored: there are as many workers as threads (cnn.set_threads)
@tparam[opt] bool deterministic ignored: it always is
@treturn dataset
@raise a function that uses what cannot go along, such as a file; in loops the function's own errors, with the
element's number
@usage
dataset = cnn.data.Dataset.from_tensor_slices{cnn.arange(0, 3), cnn.arange(0, 3)}
factor = 10
changed = dataset:map(function(x, y, rng) return x * factor, y end)
for x, y in changed:iter() do print(x, y) end
--> 0	0
--> 10	1
--> 20	2
noisy = dataset:map(function(x, y, rng) return x + rng:uniform(-1, 1), y end)
*/
static int map(lua_State *L) {
    lcnn_check_dataset(L, 1);
    lcnn_args(L, 2, "map", (const char *const[]){"map_func", "num_parallel_calls", "deterministic", NULL});
    opt_count(L, 3, "map", "num_parallel_calls", 0);
    lcnn_opt_boolean(L, 4, "map", "deterministic", true);
    bool callable = lua_type(L, 2) == LUA_TFUNCTION || luaL_getmetafield(L, 2, "__call") != LUA_TNIL;
    if (!callable) lcnn_fail(L, "map: 'map_func' must be a function, got %s", lcnn_describe(L, 2));
    cnn_dataset **box = new_step(L, push_map_text(L, 2));
    cnn_augment *augment = lcnn_test_augment(L, 2);
    if (augment) {
        lcnn_check(L, cnn_dataset_map(box, lcnn_check_dataset(L, 1), &lcnn_augment_mapper,
                                      cnn_augment_retain(augment)));
        return 1;
    }
    lcnn_parcel *parcel = lcnn_parcel_pack(L, 2, "map");
    lcnn_check(L, lcnn_dataset_map(box, lcnn_check_dataset(L, 1), parcel));
    lua_pop(L, 1);
    return 1;
}

/*** Makes a dataset of batches: batch_size elements each, their tensors stacked along a new first axis.
@function dataset:batch
@tparam int batch_size
@tparam[opt=false] bool drop_remainder leave out a last batch that is smaller
@treturn dataset
@raise a size below 1; in loops, elements of different shapes
@usage
dataset = cnn.data.Dataset.from_tensor_slices(cnn.arange(0, 5))
for x in dataset:batch(2):iter() do print(x) end
--> [0 1]
--> [2 3]
--> [4]
#dataset:batch{2, drop_remainder = true}  --> 2
*/
static int batch(lua_State *L) {
    lcnn_check_dataset(L, 1);
    lcnn_args(L, 2, "batch", (const char *const[]){"batch_size", "drop_remainder", NULL});
    int64_t size = lcnn_check_integer(L, 2, "batch", "batch_size");
    bool drop = lcnn_opt_boolean(L, 3, "batch", "drop_remainder", false);
    cnn_dataset **box = new_step(L, lua_pushfstring(L, "batch(%I)", (LUAI_UACINT)size));
    lcnn_check(L, cnn_dataset_batch(box, lcnn_check_dataset(L, 1), size, drop));
    return 1;
}

/*** Makes a dataset of the same elements in random order.
Each is drawn from the next buffer_size of those that are left; smaller buffers need less memory and mix less.
Shuffle before batch, so that the batches are mixed too.
@function dataset:shuffle
@tparam[opt] int buffer_size default: all
@tparam[opt] int seed default: drawn from the default generator (cnn.set_seed)
@tparam[opt=true] bool reshuffle_each_iteration false: each loop has the same order
@treturn dataset
@usage
dataset = cnn.data.Dataset.from_tensor_slices(cnn.arange(0, 5)):shuffle{seed = 1}
sum = 0
for x in dataset:iter() do sum = sum + x:item() end
sum                                  --> 10
*/
static int shuffle(lua_State *L) {
    lcnn_check_dataset(L, 1);
    lcnn_args(L, 2, "shuffle",
              (const char *const[]){"buffer_size", "seed", "reshuffle_each_iteration", NULL});
    int64_t buffer = lua_isnil(L, 2) ? 0 : lcnn_check_integer(L, 2, "shuffle", "buffer_size");
    if (buffer < 1 && !lua_isnil(L, 2))
        lcnn_fail(L, "shuffle: 'buffer_size' must be at least 1, got %I", (LUAI_UACINT)buffer);
    uint64_t seed = lua_isnil(L, 3) ? 0 : (uint64_t)lcnn_check_integer(L, 3, "shuffle", "seed");
    bool reshuffle = lcnn_opt_boolean(L, 4, "shuffle", "reshuffle_each_iteration", true);
    const char *text = buffer > 0 ? lua_pushfstring(L, "shuffle(%I)", (LUAI_UACINT)buffer) : "shuffle()";
    cnn_dataset **box = new_step(L, text);
    lcnn_check(L, cnn_dataset_shuffle(box, lcnn_check_dataset(L, 1), buffer, lua_isnil(L, 3) ? NULL : &seed,
                                      reshuffle));
    return 1;
}

typedef cnn_status make_counted(cnn_dataset **out, cnn_dataset *dataset, int64_t count);

/* Those that take a number. */
static int counted(lua_State *L, const char *who, const char *name, int64_t fallback, bool optional,
                   make_counted *make) {
    lcnn_check_dataset(L, 1);
    lcnn_args(L, 2, who, (const char *const[]){name, NULL});
    if (!optional && lua_isnil(L, 2)) lcnn_fail(L, "%s: '%s' is missing", who, name);
    int64_t count = opt_count(L, 2, who, name, fallback);
    const char *text = count == fallback ? lua_pushfstring(L, "%s()", who)
                                         : lua_pushfstring(L, "%s(%I)", who, (LUAI_UACINT)count);
    cnn_dataset **box = new_step(L, text);
    lcnn_check(L, make(box, lcnn_check_dataset(L, 1), count));
    return 1;
}

/*** Makes a dataset of the elements so many times over, or without end.
`repeat` is a word of Lua's; hence the underscore. fit needs steps_per_epoch for a dataset without end.
@function dataset:repeat_
@tparam[opt=-1] int count -1: without end
@treturn dataset
@usage
dataset = cnn.data.Dataset.from_tensor_slices(cnn.arange(0, 2))
for x in dataset:repeat_(2):iter() do print(x) end
--> 0
--> 1
--> 0
--> 1
dataset:repeat_():cardinality()      --> inf
*/
/*** The same as repeat_, for scripts that write it dataset["repeat"](dataset, 2).
@function dataset:repeat
@tparam[opt=-1] int count -1: without end
@treturn dataset
@usage
dataset = cnn.data.Dataset.from_tensor_slices(cnn.arange(0, 2))
#dataset["repeat"](dataset, 3)       --> 6
*/
static int repeat(lua_State *L) {
    return counted(L, "repeat", "count", -1, true, cnn_dataset_repeat);
}

/*** Makes a dataset of the first elements.
@function dataset:take
@tparam int count -1: all
@treturn dataset
@usage
dataset = cnn.data.Dataset.from_tensor_slices(cnn.arange(0, 5))
for x in dataset:take(2):iter() do print(x) end
--> 0
--> 1
*/
static int take(lua_State *L) {
    return counted(L, "take", "count", -1, false, cnn_dataset_take);
}

static cnn_status skip_or_all(cnn_dataset **out, cnn_dataset *dataset, int64_t count) {
    return count == -1 ? cnn_dataset_take(out, dataset, 0) : cnn_dataset_skip(out, dataset, count);
}

/*** Makes a dataset without the first elements.
@function dataset:skip
@tparam int count -1: all are left out
@treturn dataset
@usage
dataset = cnn.data.Dataset.from_tensor_slices(cnn.arange(0, 5))
for x in dataset:skip(3):iter() do print(x) end
--> 3
--> 4
*/
static int skip(lua_State *L) {
    return counted(L, "skip", "count", -1, false, skip_or_all);
}

/*** Sets how many elements are made ahead of where they are used.
Loops make some ahead by themselves; a script from Keras may leave this as it is.
@function dataset:prefetch
@tparam[opt] int buffer_size default, also of cnn.data.AUTOTUNE: a few more than there are threads
@treturn dataset
@usage
dataset = cnn.data.Dataset.from_tensor_slices(cnn.arange(0, 5)):batch(2):prefetch(cnn.data.AUTOTUNE)
#dataset                             --> 3
*/
static int prefetch(lua_State *L) {
    return counted(L, "prefetch", "buffer_size", 0, true, cnn_dataset_prefetch);
}

/*** Keeps the elements of the first loop in memory, so that what comes before is not done again.
Place it after what is costly and always the same, such as loading, and before what is random.
@function dataset:cache
@treturn dataset
@raise a file's name: elements are kept in memory only
@usage
dataset = cnn.data.Dataset.from_tensor_slices(cnn.arange(0, 3))
dataset = dataset:map(function(x, rng) return rng:uniform() end):cache()
first, second = dataset:iter()(), dataset:iter()()
first:item() == second:item()        --> true
*/
static int cache(lua_State *L) {
    lcnn_check_dataset(L, 1);
    if (!lua_isnoneornil(L, 2)) lcnn_fail(L, "cache: takes no argument: elements are kept in memory");
    cnn_dataset **box = new_step(L, "cache()");
    lcnn_check(L, cnn_dataset_cache(box, lcnn_check_dataset(L, 1)));
    return 1;
}

/* ---- loops --------------------------------------------------------------------------------------------- */

/* What runs over a dataset. Its threads end with it: at the last element, when the loop is left, or by the collector. */
typedef struct loop {
    cnn_iterator *iterator;
    cnn_element element; /* while its tensors go to Lua */
} loop;

static void end_loop(loop *it) {
    cnn_iterator *iterator = it->iterator;
    it->iterator = NULL;
    cnn_element_clear(&it->element);
    cnn_iterator_free(iterator);
}

static int close_loop(lua_State *L) {
    end_loop(luaL_checkudata(L, 1, ITERATOR));
    return 0;
}

/* Upvalue 1 is the loop. */
static int next_element(lua_State *L) {
    lua_settop(L, 0);
    lua_pushvalue(L, lua_upvalueindex(1));
    loop *it = luaL_checkudata(L, 1, ITERATOR);
    if (!it->iterator) return 0;
    luaL_checkstack(L, CNN_MAX_PARTS + 4, "iterator");
    cnn_status status = cnn_iterator_next(it->iterator, &it->element);
    if (status != CNN_OK || it->element.count == 0) end_loop(it);
    lcnn_check(L, status);
    for (int i = 0; i < it->element.count; i++) { /* the collector may close the loop meanwhile */
        cnn_tensor *part = it->element.parts[i];
        it->element.parts[i] = NULL;
        lcnn_push_tensor(L, part);
    }
    cnn_element_clear(&it->element);
    return lua_gettop(L) - 1;
}

/*** Runs over the elements: `for images, labels in dataset:iter() do`.
Worker threads make them ahead; leaving the loop stops them.
@function dataset:iter
@tparam[opt] int workers the number of threads; default: cnn.threads()
@treturn function gives the next element's tensors, nothing after the last; may be called by hand. What else a
generic for needs follows it
@usage
dataset = cnn.data.Dataset.from_tensor_slices{cnn.arange(0, 3), cnn.arange(5, 8)}
for x, y in dataset:iter() do print(x, y) end
--> 0	5
--> 1	6
--> 2	7
next_element = dataset:iter()
x, y = next_element()
print(x, y)
--> 0	5
*/
static int iterate(lua_State *L) {
    cnn_dataset *dataset = lcnn_check_dataset(L, 1);
    lcnn_args(L, 2, "iter", (const char *const[]){"workers", NULL});
    int64_t workers = lua_isnil(L, 2) ? 0 : lcnn_check_integer(L, 2, "iter", "workers");
    if (!lua_isnil(L, 2) && (workers < 1 || workers > INT32_MAX))
        lcnn_fail(L, "iter: 'workers' must be at least 1, got %I", (LUAI_UACINT)workers);
    loop *it = lua_newuserdatauv(L, sizeof *it, 0);
    memset(it, 0, sizeof *it);
    luaL_setmetatable(L, ITERATOR);
    lcnn_check(L, cnn_iterator_new(&it->iterator, dataset, &(cnn_iterator_options){.workers = (int)workers}));
    int index = lua_gettop(L);
    lua_pushvalue(L, index);
    lua_pushcclosure(L, next_element, 1);
    lua_pushnil(L);
    lua_pushnil(L);
    lua_pushvalue(L, index);
    return 4;
}

/* ---- what a dataset is --------------------------------------------------------------------------------- */

/*** How many elements there are; also #dataset.
Pictures that do not decode are counted, for this is known in loops only.
@function dataset:cardinality
@treturn number math.huge if they are without end
@usage
dataset = cnn.data.Dataset.from_tensor_slices(cnn.arange(0, 5)):batch(2)
dataset:cardinality()                --> 3
dataset:repeat_():cardinality()      --> inf
*/
static int cardinality(lua_State *L) {
    int64_t count = cnn_dataset_cardinality(lcnn_check_dataset(L, 1));
    if (count < 0)
        lua_pushnumber(L, HUGE_VAL);
    else
        lua_pushinteger(L, count);
    return 1;
}

static int to_string(lua_State *L) {
    int64_t count = cnn_dataset_cardinality(lcnn_check_dataset(L, 1));
    lua_getiuservalue(L, 1, HISTORY);
    if (count < 0)
        lua_pushfstring(L, "dataset without end: %s", lua_tostring(L, -1));
    else
        lua_pushfstring(L, "dataset of %I elements: %s", (LUAI_UACINT)count, lua_tostring(L, -1));
    return 1;
}

static void push_classes(lua_State *L, const cnn_dataset *dataset) {
    int count = cnn_dataset_class_count(dataset);
    lua_createtable(L, count, 0);
    for (int i = 0; i < count; i++) {
        lua_pushstring(L, cnn_dataset_class_name(dataset, i));
        lua_rawseti(L, -2, i + 1);
    }
}

static void push_files(lua_State *L, const cnn_dataset *dataset) {
    int64_t count = cnn_dataset_file_count(dataset);
    lua_createtable(L, count < INT32_MAX ? (int)count : 0, 0);
    for (int64_t i = 0; i < count; i++) {
        lua_pushstring(L, cnn_dataset_file(dataset, i, NULL));
        lua_rawseti(L, -2, i + 1);
    }
}

/* Pushes the table of the dataset's fields. */
static void push_fields(lua_State *L) {
    if (lua_getiuservalue(L, 1, FIELDS) == LUA_TTABLE) return;
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, 1, FIELDS);
}

/* Methods (upvalue 1), and fields: those that were set, and two that are made when first asked for. */
static int dataset_index(lua_State *L) {
    const cnn_dataset *dataset = lcnn_check_dataset(L, 1);
    const char *name = luaL_checkstring(L, 2);
    lua_settop(L, 2);
    if (lua_getfield(L, lua_upvalueindex(1), name) != LUA_TNIL) return 1;
    push_fields(L);
    if (lua_getfield(L, -1, name) != LUA_TNIL) return 1;
    bool classes = strcmp(name, "class_names") == 0, files = strcmp(name, "file_paths") == 0;
    if (!classes && !files) lcnn_unknown(L, "dataset", "there is no", name, lua_upvalueindex(1));
    if (cnn_dataset_file_count(dataset) == 0) return 0;
    if (classes)
        push_classes(L, dataset);
    else
        push_files(L, dataset);
    lua_pushvalue(L, -1);
    lua_setfield(L, 4, name);
    return 1;
}

/* dataset.name = value keeps what a script wants to know of it. */
static int dataset_newindex(lua_State *L) {
    lcnn_check_dataset(L, 1);
    luaL_checkstring(L, 2);
    lua_settop(L, 3);
    push_fields(L);
    lua_insert(L, 2);
    lua_rawset(L, 2);
    return 0;
}

/* ---- opening ------------------------------------------------------------------------------------------- */

static const luaL_Reg methods[] = {{"map", map},
                                   {"batch", batch},
                                   {"shuffle", shuffle},
                                   {"repeat", repeat},
                                   {"repeat_", repeat},
                                   {"take", take},
                                   {"skip", skip},
                                   {"cache", cache},
                                   {"prefetch", prefetch},
                                   {"iter", iterate},
                                   {"cardinality", cardinality},
                                   {NULL, NULL}};

static const luaL_Reg metamethods[] = {{"__gc", free_dataset},
                                       {"__len", cardinality},
                                       {"__newindex", dataset_newindex},
                                       {"__tostring", to_string},
                                       {NULL, NULL}};

/*** The buffer_size of prefetch that leaves it to the program, and num_parallel_calls of map.
@field cnn.data.AUTOTUNE
@usage
cnn.data.AUTOTUNE                    --> -1
*/
int lcnn_open_dataset(lua_State *L) {
    luaL_newmetatable(L, LCNN_DATASET);
    luaL_setfuncs(L, metamethods, 0);
    luaL_newlib(L, methods);
    lua_pushcclosure(L, dataset_index, 1);
    lua_setfield(L, -2, "__index");
    luaL_newmetatable(L, ITERATOR);
    lua_pushcfunction(L, close_loop);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, close_loop);
    lua_setfield(L, -2, "__close");
    luaL_getsubtable(L, 1, "data");
    lua_pushinteger(L, -1);
    lua_setfield(L, -2, "AUTOTUNE");
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, from_tensor_slices);
    lua_setfield(L, -2, "from_tensor_slices");
    lua_setfield(L, -2, "Dataset");
    luaL_getsubtable(L, 1, "utils");
    lua_pushcfunction(L, image_dataset_from_directory);
    lua_setfield(L, -2, FOLDER);
    return 0;
}
