/* The module `cnn`: opening it, and what the binding files share. */
#include "lua_cnn.h"
#include "base/status.h"
#include "base/text.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- errors -------------------------------------------------------------------------------------------- */

/* Chunks of the module's own Lua half are named "=prelude/…" and "=datasets/…". */
static bool is_own(const char *source) {
    return strncmp(source, "=prelude/", 9) == 0 || strncmp(source, "=datasets/", 10) == 0;
}

void lcnn_where(lua_State *L) {
    lua_Debug frame;
    for (int level = 0; lua_getstack(L, level, &frame); level++) {
        lua_getinfo(L, "Sl", &frame);
        if (frame.currentline <= 0 || is_own(frame.source)) continue;
        lua_pushfstring(L, "%s:%d: ", frame.short_src, frame.currentline);
        return;
    }
    lua_pushliteral(L, "");
}

bool lcnn_is_own(lua_State *L, int index) {
    lua_Debug about;
    lua_pushvalue(L, index);
    lua_getinfo(L, ">S", &about);
    return is_own(about.source);
}

int lcnn_fail(lua_State *L, const char *format, ...) {
    luaL_checkstack(L, 4, "error message");
    va_list args;
    va_start(args, format);
    lcnn_where(L);
    lua_pushvfstring(L, format, args);
    va_end(args);
    lua_concat(L, 2);
    lua_error(L);
    abort(); /* not reached */
}

/* The program asks for a stop in two ways, libcnn's flag and a hook for Lua code; one answer is enough. */
static void end_interruption(lua_State *L) {
    cnn_interrupt_clear();
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    lua_sethook(lua_tothread(L, -1), NULL, 0, 0);
    lua_pop(L, 1);
}

int lcnn_error(lua_State *L, cnn_status status) {
    luaL_checkstack(L, 8, "error message");
    if (status == CNN_ERROR_INTERRUPTED) {
        end_interruption(L);
        lcnn_fail(L, "interrupted!");
    }
    if (status == CNN_ERROR_CALLBACK) { /* has its position already */
        lua_pushstring(L, cnn_error_message());
        lua_error(L);
    }
    lcnn_where(L);
    lua_pushstring(L, cnn_error_message());
    lua_concat(L, 2);
    if (status == CNN_ERROR_MEMORY) lua_gc(L, LUA_GCCOLLECT, 0); /* the next one may have more luck */
    lua_error(L);
    abort(); /* not reached */
}

void lcnn_check(lua_State *L, cnn_status status) {
    if (status != CNN_OK) lcnn_error(L, status);
}

const char *lcnn_describe(lua_State *L, int index) {
    luaL_checkstack(L, 4, "error message");
    index = lua_absindex(L, index);
    int type = lua_type(L, index);
    cnn_tensor **box = luaL_testudata(L, index, LCNN_TENSOR);
    if (box) {
        char shape[CNN_SHAPE_TEXT];
        const cnn_tensor *t = *box;
        if (!t) return lua_pushliteral(L, "a closed tensor");
        return lua_pushfstring(L, "a %stensor %s %s", t->data ? "" : "symbolic ", cnn_dtype_name(t->dtype),
                               cnn_shape_text(shape, sizeof shape, t->rank, t->shape));
    }
    if (type == LUA_TLIGHTUSERDATA && !lua_touserdata(L, index)) return lua_pushliteral(L, "null");
    if (type < LUA_TTABLE || luaL_getmetafield(L, index, "__tostring") != LUA_TNIL)
        return luaL_tolstring(L, index, NULL);
    return lua_pushfstring(L, "a %s", luaL_typename(L, index));
}

static int fail_unknown(lua_State *L, const char *who, const char *what, const char *word,
                        const char *const *candidates) {
    const char *nearest = cnn_nearest(word, candidates);
    if (nearest) return lcnn_fail(L, "%s: %s '%s' (did you mean '%s'?)", who, what, word, nearest);
    return lcnn_fail(L, "%s: %s '%s'", who, what, word);
}

int lcnn_unknown(lua_State *L, const char *who, const char *what, const char *word, int index) {
    luaL_checkstack(L, 8, "error message");
    index = lua_absindex(L, index);
    size_t count = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) count++;
    const char **candidates = lua_newuserdatauv(L, (count + 1) * sizeof *candidates, 0);
    size_t used = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1))
        if (lua_type(L, -2) == LUA_TSTRING && used < count) candidates[used++] = lua_tostring(L, -2);
    candidates[used] = NULL;
    fail_unknown(L, who, what, word, candidates);
    abort(); /* not reached */
}

/* ---- values -------------------------------------------------------------------------------------------- */

static int push_string(lua_State *L) {
    lua_pushstring(L, lua_touserdata(L, 1));
    return 1;
}

void lcnn_push_text(lua_State *L, char *owned) {
    if (!owned) lcnn_fail(L, "out of memory");
    lua_pushcfunction(L, push_string);
    lua_pushlightuserdata(L, owned);
    int status = lua_pcall(L, 1, 1, 0);
    free(owned);
    if (status != LUA_OK) lua_error(L);
}

void lcnn_push_shape(lua_State *L, int rank, const int64_t *shape) {
    lua_createtable(L, rank, 0);
    for (int i = 0; i < rank; i++) {
        lua_pushinteger(L, shape[i]);
        lua_rawseti(L, -2, i + 1);
    }
}

cnn_dtype lcnn_opt_dtype(lua_State *L, int arg, const char *who, cnn_dtype fallback) {
    if (lua_isnoneornil(L, arg)) return fallback;
    if (lua_type(L, arg) != LUA_TSTRING)
        lcnn_fail(L, "%s: 'dtype' must be a name like \"float32\", got %s", who, lcnn_describe(L, arg));
    cnn_dtype dtype = fallback;
    cnn_status status = cnn_dtype_from_name(&dtype, lua_tostring(L, arg));
    if (status != CNN_OK) lcnn_error(L, cnn_fail_in(status, who));
    return dtype;
}

int lcnn_check_list(lua_State *L, int arg, const char *who, const char *what, int64_t *list) {
    arg = lua_absindex(L, arg);
    int whole;
    if (lua_type(L, arg) == LUA_TNUMBER) {
        list[0] = lua_tointegerx(L, arg, &whole);
        if (!whole) lcnn_fail(L, "%s: '%s' must be an integer, got %s", who, what, lcnn_describe(L, arg));
        return 1;
    }
    if (lua_type(L, arg) != LUA_TTABLE)
        lcnn_fail(L, "%s: '%s' must be a list of integers, got %s", who, what, lcnn_describe(L, arg));
    lua_Unsigned count = lua_rawlen(L, arg);
    if (count > CNN_MAX_RANK)
        lcnn_fail(L, "%s: '%s' may have at most %d numbers, got %I", who, what, CNN_MAX_RANK,
                  (LUAI_UACINT)count);
    lcnn_check_names(L, arg, who, NULL);
    for (int i = 0; i < (int)count; i++) {
        lua_rawgeti(L, arg, i + 1);
        list[i] = lua_type(L, -1) == LUA_TNUMBER ? lua_tointegerx(L, -1, &whole) : (whole = 0);
        if (!whole)
            lcnn_fail(L, "%s: number %d of '%s' must be an integer, got %s", who, i + 1, what,
                      lcnn_describe(L, -1));
        lua_pop(L, 1);
    }
    return (int)count;
}

int lcnn_check_shape(lua_State *L, int arg, const char *who, int64_t *shape) {
    int rank = lcnn_check_list(L, arg, who, "shape", shape);
    for (int i = 0; i < rank; i++)
        if (shape[i] < 0)
            lcnn_fail(L, "%s: size %d of 'shape' must not be negative, got %I", who, i + 1,
                      (LUAI_UACINT)shape[i]);
    return rank;
}

int lcnn_check_axis(lua_State *L, lua_Integer axis, int rank, const char *who) {
    if (axis >= 1 && axis <= rank) return (int)axis - 1;
    if (axis < 0 && axis >= -rank) return (int)axis + rank;
    return lcnn_fail(L, "%s: axis %I is not there in a tensor of rank %d (axes count from 1)", who,
                     (LUAI_UACINT)axis, rank);
}

/* Functions that are one op each carry it, and their name for messages, as upvalues. */
int lcnn_upvalue_op(lua_State *L) {
    return (int)lua_tointeger(L, lua_upvalueindex(1));
}

const char *lcnn_upvalue_name(lua_State *L) {
    return lua_tostring(L, lua_upvalueindex(2));
}

const char *lcnn_check_path(lua_State *L, int arg, const char *who, const char *name) {
    size_t length = 0;
    const char *path = lua_type(L, arg) == LUA_TSTRING ? lua_tolstring(L, arg, &length) : NULL;
    if (!path || length == 0 || strlen(path) != length)
        lcnn_fail(L, "%s: '%s' must be the name of a file, got %s", who, name,
                  path ? "an empty one or one with a zero byte" : lcnn_describe(L, arg));
    return path;
}

double lcnn_check_number(lua_State *L, int arg, const char *who, const char *name) {
    if (lua_type(L, arg) != LUA_TNUMBER)
        lcnn_fail(L, "%s: '%s' must be a number, got %s", who, name, lcnn_describe(L, arg));
    return lua_tonumber(L, arg);
}

int64_t lcnn_check_integer(lua_State *L, int arg, const char *who, const char *name) {
    int whole = 0;
    int64_t value = lua_type(L, arg) == LUA_TNUMBER ? lua_tointegerx(L, arg, &whole) : 0;
    if (!whole) lcnn_fail(L, "%s: '%s' must be an integer, got %s", who, name, lcnn_describe(L, arg));
    return value;
}

bool lcnn_opt_boolean(lua_State *L, int arg, const char *who, const char *name, bool fallback) {
    if (lua_isnoneornil(L, arg)) return fallback;
    if (!lua_isboolean(L, arg))
        lcnn_fail(L, "%s: '%s' must be true or false, got %s", who, name, lcnn_describe(L, arg));
    return lua_toboolean(L, arg);
}

/* ---- arguments ----------------------------------------------------------------------------------------- */

static bool is_plain_table(lua_State *L, int index) {
    if (lua_type(L, index) != LUA_TTABLE) return false;
    if (!lua_getmetatable(L, index)) return true;
    lua_pop(L, 1);
    return false;
}

static int find_name(lua_State *L, const char *who, const char *const *names, const char *name) {
    for (int i = 0; names[i]; i++)
        if (strcmp(names[i] + (names[i][0] == '*'), name) == 0) return i;
    enum { MOST = 32 };
    const char *candidates[MOST + 1];
    int count = 0;
    for (; names[count] && count < MOST; count++) candidates[count] = names[count] + (names[count][0] == '*');
    candidates[count] = NULL;
    return fail_unknown(L, who, "unknown argument", name, candidates);
}

void lcnn_check_names(lua_State *L, int index, const char *who, const char *allowed) {
    const char *const names[] = {allowed, NULL};
    index = lua_absindex(L, index);
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1))
        if (lua_type(L, -2) == LUA_TSTRING) find_name(L, who, names, lua_tostring(L, -2));
}

static void too_many(lua_State *L, const char *who, int most, lua_Integer given) {
    lcnn_fail(L, "%s: takes at most %d argument%s by position, got %I", who, most, most == 1 ? "" : "s",
              (LUAI_UACINT)given);
}

static void set_argument(lua_State *L, const char *who, const char *const *names, int base, int i) {
    if (!lua_isnil(L, base + i)) lcnn_fail(L, "%s: got '%s' twice", who, names[i] + (names[i][0] == '*'));
    lua_copy(L, -1, base + i);
}

/* The table at index gives arguments by name and position, to the slots from base on. */
static void spread_table(lua_State *L, int index, const char *who, const char *const *names, int count,
                         int base, bool is_list) {
    if (is_list) {
        lua_rawgeti(L, index, 1);
        is_list = lua_type(L, -1) != LUA_TTABLE;
        lua_pop(L, 1);
    }
    lua_Integer listed = 0;
    if (is_list) lua_newtable(L);
    int list = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        int whole = 0;
        if (lua_type(L, -2) == LUA_TSTRING) {
            set_argument(L, who, names, base, find_name(L, who, names, lua_tostring(L, -2)));
            continue;
        }
        lua_Integer position = lua_type(L, -2) == LUA_TNUMBER ? lua_tointegerx(L, -2, &whole) : 0;
        if (!whole || position < 1)
            lcnn_fail(L, "%s: an argument has the name %s", who, luaL_tolstring(L, -2, NULL));
        if (is_list) {
            lua_pushvalue(L, -1);
            lua_rawseti(L, list, position);
            listed++;
        } else {
            if (position > count) too_many(L, who, count, position);
            set_argument(L, who, names, base, (int)position - 1);
        }
    }
    if (!is_list) return;
    if (listed > 0 || lua_isnil(L, base)) set_argument(L, who, names, base, 0);
    lua_pop(L, 1);
}

void lcnn_args(lua_State *L, int first, const char *who, const char *const *names) {
    int count = 0;
    while (names[count]) count++;
    luaL_checkstack(L, count + 10, "arguments");
    if (lua_gettop(L) < first - 1) lua_settop(L, first - 1);
    int top = lua_gettop(L), given = top - first + 1, base = top + 1;
    for (int i = 0; i < count; i++) lua_pushnil(L);
    if (given > count) too_many(L, who, count, given);
    if (given == 1 && is_plain_table(L, first)) {
        spread_table(L, first, who, names, count, base, names[0][0] == '*');
    } else {
        for (int i = 0; i < given; i++) lua_copy(L, first + i, base + i);
    }
    if (given > 0) {
        lua_rotate(L, first, count);
        lua_settop(L, first + count - 1);
    }
}

/* ---- registering --------------------------------------------------------------------------------------- */

void lcnn_add_entries(lua_State *L, const lcnn_entry *entries) {
    for (; entries->name; entries++) {
        lua_pushinteger(L, entries->op);
        lua_pushstring(L, entries->name);
        lua_pushcclosure(L, entries->function, 2);
        lua_setfield(L, -2, entries->name);
    }
}

void lcnn_push_methods(lua_State *L) {
    luaL_getsubtable(L, LUA_REGISTRYINDEX, "cnn.methods");
}

void lcnn_add_methods(lua_State *L, int cnn, const lcnn_entry *entries) {
    cnn = lua_absindex(L, cnn);
    lcnn_push_methods(L);
    lcnn_add_entries(L, entries);
    for (; entries->name; entries++) {
        lua_getfield(L, -1, entries->name);
        lua_setfield(L, cnn, entries->name);
    }
    lua_pop(L, 1);
}

/* ---- functions of the module itself -------------------------------------------------------------------- */

/*** Sets how many threads compute; results do not depend on it.
@function cnn.set_threads
@tparam int count from 1 to 1024; at first it is the number of processors that the program may use
@usage
cnn.set_threads(2)
cnn.threads()          --> 2
cnn.set_threads(0)     --> error: set_threads: expected 1 to 1024 threads, got 0
*/
static int set_threads(lua_State *L) {
    lua_Integer count = luaL_checkinteger(L, 1);
    lcnn_check(L, cnn_set_threads(count < INT_MIN ? INT_MIN : count > INT_MAX ? INT_MAX : (int)count));
    return 0;
}

/*** How many threads compute.
@function cnn.threads
@treturn int
@usage
cnn.threads() >= 1     --> true
*/
static int threads(lua_State *L) {
    lua_pushinteger(L, cnn_threads());
    return 1;
}

/*** The set of instructions that the kernels use: the best the processor has, unless the environment variable
CNNLUA_CPU names another.
@function cnn.cpu
@treturn text "avx512", "avx2", "sse2" or "generic"
@usage
for _, name in ipairs{"avx512", "avx2", "sse2", "generic"} do if cnn.cpu() == name then print "known" end end
--> known
*/
static int cpu(lua_State *L) {
    lua_pushstring(L, cnn_cpu());
    return 1;
}

/*** The memory that tensors, models and datasets hold, without Lua's own.
@function cnn.memory
@treturn int bytes now
@treturn int the most bytes so far
@usage
t = cnn.zeros{1000, 1000}
now, most = cnn.memory()
now >= 4000000 and most >= now     --> true
*/
static int memory(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)cnn_memory_used());
    lua_pushinteger(L, (lua_Integer)cnn_memory_peak());
    return 2;
}

static const luaL_Reg functions[] = {
    {"set_threads", set_threads}, {"threads", threads}, {"cpu", cpu}, {"memory", memory}, {NULL, NULL},
};

/* ---- opening ------------------------------------------------------------------------------------------- */

/* Absent names of the module and its parts are errors; rawget still tells. */
static int unknown_field(lua_State *L) {
    const char *where = lua_tostring(L, lua_upvalueindex(1));
    if (lua_type(L, 2) == LUA_TSTRING) lcnn_unknown(L, where, "there is no", lua_tostring(L, 2), 1);
    return lcnn_fail(L, "%s: there is no [%s]", where, luaL_tolstring(L, 2, NULL));
}

/* Gives the table on the top, called name, the metatable that does this, unless it has one. */
static void make_strict(lua_State *L, const char *name) {
    if (lua_getmetatable(L, -1)) {
        lua_pop(L, 1);
        return;
    }
    lua_createtable(L, 0, 2);
    lua_pushstring(L, name);
    lua_pushcclosure(L, unknown_field, 1);
    lua_setfield(L, -2, "__index");
    lua_pushstring(L, name);
    lua_setfield(L, -2, "__name");
    lua_setmetatable(L, -2);
}

static void make_all_strict(lua_State *L) {
    int cnn = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, cnn); lua_pop(L, 1)) {
        if (lua_type(L, -1) != LUA_TTABLE || lua_type(L, -2) != LUA_TSTRING) continue;
        const char *name = lua_pushfstring(L, "cnn.%s", lua_tostring(L, -2));
        lua_insert(L, -2);
        make_strict(L, name);
        lua_remove(L, -2);
    }
    make_strict(L, "cnn");
}

static void run_source(lua_State *L, const lcnn_source *source, int cnn) {
    if (luaL_loadbufferx(L, source->code, source->size, source->name, "b") != LUA_OK) lua_error(L);
    lua_pushvalue(L, cnn);
    lua_call(L, 1, 0);
}

/* In the order they are opened. */
static const lua_CFunction parts[] = {
    lcnn_open_json,     lcnn_open_tensor,  lcnn_open_arith,  lcnn_open_index,     lcnn_open_nn,
    lcnn_open_tape,     lcnn_open_signal,  lcnn_open_random, lcnn_open_generator, lcnn_open_data,
    lcnn_open_image,    lcnn_open_dataset, lcnn_open_adjust, lcnn_open_augment,   lcnn_open_layer,
    lcnn_open_callback, lcnn_open_model,   lcnn_open_train,  lcnn_open_custom,    lcnn_open_saving,
    lcnn_open_explain,  lcnn_open_show,    lcnn_open_io,     lcnn_open_help,      lcnn_open_buffer,
};

/*** The version of cnnlua.
@field cnn.version
@usage
cnn.version:match "^%d+%.%d+%.%d+$" == cnn.version       --> true
*/

int luaopen_cnn(lua_State *L) {
    luaL_checkversion(L);
    luaL_newlib(L, functions);
    int cnn = lua_gettop(L);
    lua_pushliteral(L, CNN_VERSION);
    lua_setfield(L, cnn, "version");
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        lua_pushcfunction(L, parts[i]);
        lua_pushvalue(L, cnn);
        lua_call(L, 1, 0);
    }
    for (const lcnn_source *source = lcnn_sources; source->name; source++) run_source(L, source, cnn);
    lua_settop(L, cnn);
    make_all_strict(L);
    return 1;
}
