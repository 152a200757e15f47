/* Files of tensors: NumPy's .npy and .npz, and safetensors. */
#include "lua_cnn.h"
#include "base/status.h"
#include "io/source.h"

#include <stdlib.h>
#include <string.h>

/* ---- arguments ----------------------------------------------------------------------------------------- */

/* Appends the name and the value on the top, which it pops, to the list at index: names and tensors in turn. */
static void append(lua_State *L, const char *who, int list) {
    int name = lua_gettop(L) - 1, value = name + 1, type = lua_type(L, value);
    size_t length;
    const char *text = lua_tolstring(L, name, &length);
    if (length == 0 || strlen(text) != length)
        lcnn_fail(L, "%s: the name of a tensor is empty or has a zero byte", who);
    if (!lcnn_test_tensor(L, value) && type != LUA_TTABLE && type != LUA_TNUMBER && type != LUA_TBOOLEAN)
        lcnn_fail(L, "%s: '%s' must be a tensor, got %s", who, text, lcnn_describe(L, value));
    lcnn_to_tensor(L, value);
    lua_Integer count = (lua_Integer)lua_rawlen(L, list);
    lua_rawseti(L, list, count + 2); /* the border of a list moves only once both are there */
    lua_rawseti(L, list, count + 1);
}

/* Appends the tensors of the table at index. Those at first, first + 1, … have no names of their own and get NumPy's,
 * arr_0, arr_1, …; first 0: every tensor must have a name. */
static void append_table(lua_State *L, const char *who, int list, int table, lua_Integer first) {
    for (lua_pushnil(L); lua_next(L, table);) {
        bool listed = first > 0 && lua_isinteger(L, -2);
        lua_Integer position = listed ? lua_tointeger(L, -2) : 0;
        if (listed && position >= 1 && position < first) { /* an argument of another kind */
            lua_pop(L, 1);
            continue;
        }
        if (listed && position >= first)
            lua_pushfstring(L, "arr_%I", (LUAI_UACINT)(position - first));
        else if (lua_type(L, -2) == LUA_TSTRING)
            lua_pushvalue(L, -2);
        else
            lcnn_fail(L, "%s: a tensor's name must be a string, got %s", who, lcnn_describe(L, -2));
        lua_insert(L, -2);
        append(L, who, list);
    }
}

static int compare_names(const void *a, const void *b) {
    return strcmp(((const cnn_named_tensor *)a)->name, ((const cnn_named_tensor *)b)->name);
}

/* The list on the top as the core takes it, in the order of the names, so that the same tensors give the same file.
 * Good until Lua code may run. */
static cnn_named_tensor *named_tensors(lua_State *L, int *count) {
    int list = lua_gettop(L);
    *count = (int)(lua_rawlen(L, list) / 2);
    cnn_named_tensor *tensors = lua_newuserdatauv(L, (size_t)*count * sizeof *tensors + 1, 0);
    for (int i = 0; i < *count; i++) {
        lua_rawgeti(L, list, 2 * i + 1);
        lua_rawgeti(L, list, 2 * i + 2);
        tensors[i] = (cnn_named_tensor){(char *)lua_tostring(L, -2), lcnn_check_tensor(L, -1)};
        lua_pop(L, 2); /* the list holds them */
    }
    qsort(tensors, (size_t)*count, sizeof *tensors, compare_names);
    return tensors;
}

/* ---- saving -------------------------------------------------------------------------------------------- */

/*** Saves a tensor as NumPy's .npy file. The file appears whole or not at all. In Python numpy.load reads it;
bfloat16, which NumPy lacks, is saved as float32.
@function cnn.save
@tparam text path
@tparam tensor|table tensor
@usage
cnn.save("x.npy", cnn.arange(6):reshape{2, 3})
cnn.load "x.npy"
--> int32 (2, 3)
--> [[0 1 2]
-->  [3 4 5]]
*/
static int save(lua_State *L) {
    lcnn_args(L, 1, "save", (const char *const[]){"path", "tensor", NULL});
    const char *path = lcnn_check_path(L, 1, "save", "path");
    if (lua_isnil(L, 2)) lcnn_fail(L, "save: 'tensor' is missing");
    cnn_tensor *tensor = lcnn_to_tensor(L, 2);
    lcnn_check(L, cnn_npy_save(path, tensor));
    return 0;
}

/*** Saves several tensors, by name, as NumPy's .npz file. They follow the path, or are in a table, which may hold the
path too: cnn.savez{path, x = x, y = y}. Those without a name are called arr_0, arr_1, … The file appears whole or not
at all; bfloat16 is saved as float32.
@function cnn.savez
@tparam text path
@tparam table|tensor tensors by name or not
@usage
cnn.savez("data.npz", {x = cnn.zeros{10, 4}, y = cnn.arange(10)})
data = cnn.load "data.npz"
data.x:shape(), data.y:dtype()
--> {10, 4}
--> int32
cnn.savez("two.npz", cnn.ones{2}, cnn.ones{3})
cnn.load("two.npz").arr_1:size()   --> 3
*/

/*** Saves several tensors, by name, as NumPy's .npz file, compressed. As cnn.savez; it takes longer, and the file is
smaller where numbers repeat.
@function cnn.savez_compressed
@tparam text path
@tparam table|tensor tensors by name or not
@usage
cnn.savez_compressed{"masks.npz", masks = cnn.zeros{100, 28, 28, dtype = "uint8"}}
cnn.load("masks.npz").masks:shape()                      --> {100, 28, 28}
*/
static int savez(lua_State *L) {
    const char *who = lcnn_upvalue_name(L);
    bool one_table = lua_gettop(L) == 1 && lua_istable(L, 1); /* with the path in it */
    if (one_table) {
        lua_rawgeti(L, 1, 1);
        lua_insert(L, 1);
    }
    if (lua_gettop(L) == 0) lua_pushnil(L);
    const char *path = lcnn_check_path(L, 1, who, "path");
    int top = lua_gettop(L), list = top + 1, count;
    lua_newtable(L);
    if (top == 2 && lua_istable(L, 2)) {
        append_table(L, who, list, 2, one_table ? 2 : 1);
    } else {
        for (int i = 2; i <= top; i++) {
            lua_pushfstring(L, "arr_%d", i - 2);
            lua_pushvalue(L, i);
            append(L, who, list);
        }
    }
    const cnn_named_tensor *tensors = named_tensors(L, &count);
    lcnn_check(L, cnn_npz_save(path, tensors, count, lcnn_upvalue_op(L)));
    return 0;
}

/*** Saves tensors by name as a safetensors file. PyTorch reads it with safetensors.torch.load_file, Keras by way of
NumPy. bfloat16 stays bfloat16. The file appears whole or not at all.
@function cnn.save_safetensors
@tparam text path
@tparam table tensors by name
@usage
cnn.save_safetensors("w.safetensors", {kernel = cnn.ones{3, 2}, bias = cnn.zeros{2}})
cnn.load_safetensors("w.safetensors").kernel:shape()     --> {3, 2}
*/
static int save_safetensors(lua_State *L) {
    const char *who = "save_safetensors";
    lcnn_args(L, 1, who, (const char *const[]){"path", "tensors", NULL});
    const char *path = lcnn_check_path(L, 1, who, "path");
    if (!lua_istable(L, 2))
        lcnn_fail(L, "%s: 'tensors' must be a table of tensors by name, got %s", who, lcnn_describe(L, 2));
    lua_newtable(L);
    append_table(L, who, lua_gettop(L), 2, 0);
    int count;
    const cnn_named_tensor *tensors = named_tensors(L, &count);
    lcnn_check(L, cnn_safetensors_save(path, tensors, count));
    return 0;
}

/* ---- loading ------------------------------------------------------------------------------------------- */

#define LIST "cnn.named_tensors"

/* What the core loaded, until Lua has all of it. */
typedef struct named_list {
    cnn_named_tensor *tensors;
    int count;
} named_list;

static int free_list(lua_State *L) {
    named_list *list = luaL_checkudata(L, 1, LIST);
    cnn_named_tensors_free(list->tensors, list->count);
    *list = (named_list){NULL, 0};
    return 0;
}

static int push_loaded(lua_State *L, const char *path,
                       cnn_status (*load_file)(cnn_named_tensor **, int *, const char *)) {
    named_list *list = lua_newuserdatauv(L, sizeof *list, 0);
    *list = (named_list){NULL, 0};
    luaL_setmetatable(L, LIST);
    lcnn_check(L, load_file(&list->tensors, &list->count, path));
    lua_createtable(L, 0, list->count);
    for (int i = 0; i < list->count; i++) {
        cnn_tensor *tensor = list->tensors[i].tensor;
        list->tensors[i].tensor = NULL;
        lcnn_push_tensor(L, tensor);
        lua_setfield(L, -2, list->tensors[i].name);
    }
    cnn_named_tensors_free(list->tensors, list->count);
    *list = (named_list){NULL, 0};
    return 1;
}

enum { BEGINNING = 9 };

/* The file's first bytes, zeros where it is shorter. */
static void read_beginning(lua_State *L, const char *path, char beginning[BEGINNING]) {
    cnn_source file;
    memset(beginning, 0, BEGINNING);
    cnn_status status = cnn_source_open(&file, path);
    if (status == CNN_OK) {
        status = cnn_source_read(&file, beginning, 0, file.size < BEGINNING ? (size_t)file.size : BEGINNING);
        cnn_source_close(&file);
    }
    if (status != CNN_OK) lcnn_error(L, cnn_fail_in(status, "load"));
}

/*** Loads arrays from a .npy, .npz or safetensors file; what is in it tells which it is. Elements of other types
become the nearest of ours: float64 and float16 float32, other integers int32, booleans uint8. Models are loaded by
cnn.load_model.
@function cnn.load
@tparam text path
@treturn tensor|table a tensor of a .npy file, a table of tensors by name of the others
@raise a file that is not there, or of another kind; an integer that does not fit int32
@usage
cnn.save("x.npy", {1, 2, 3})
cnn.load("x.npy"):tolist()         --> {1.0, 2.0, 3.0}
cnn.load "nothing.npy" --> error: load: cannot open nothing.npy: No such file or directory
*/
static int load(lua_State *L) {
    lcnn_args(L, 1, "load", (const char *const[]){"path", NULL});
    const char *path = lcnn_check_path(L, 1, "load", "path");
    char beginning[BEGINNING];
    read_beginning(L, path, beginning);
    if (memcmp(beginning, "\x93NUMPY", 6) == 0) {
        cnn_tensor *tensor = NULL;
        return lcnn_push_result(L, cnn_npy_load(&tensor, path), &tensor);
    }
    if (memcmp(beginning, "PK", 2) == 0) return push_loaded(L, path, cnn_npz_load);
    if (beginning[BEGINNING - 1] == '{') return push_loaded(L, path, cnn_safetensors_load);
    return lcnn_fail(L, "load: expected a .npy, .npz or safetensors file, got %s", path);
}

/*** Loads a safetensors file.
@function cnn.load_safetensors
@tparam text path
@treturn table tensors by name; types as of cnn.load
@usage
cnn.save_safetensors("w.safetensors", {w = cnn.ones{2}})
for name, tensor in pairs(cnn.load_safetensors "w.safetensors") do print(name, tensor) end
--> w	[1. 1.]
*/
static int load_safetensors(lua_State *L) {
    lcnn_args(L, 1, "load_safetensors", (const char *const[]){"path", NULL});
    return push_loaded(L, lcnn_check_path(L, 1, "load_safetensors", "path"), cnn_safetensors_load);
}

/* ---- opening ------------------------------------------------------------------------------------------- */

static const lcnn_entry functions[] = {{"save", save, 0},
                                       {"savez", savez, false},
                                       {"savez_compressed", savez, true},
                                       {"save_safetensors", save_safetensors, 0},
                                       {"load", load, 0},
                                       {"load_safetensors", load_safetensors, 0},
                                       {NULL, NULL, 0}};

int lcnn_open_io(lua_State *L) {
    luaL_newmetatable(L, LIST);
    lua_pushcfunction(L, free_list);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    lcnn_add_entries(L, functions);
    return 0;
}
