/* Tensors from bytes and back: how a host program, or a file in a form of its own, hands elements over. */
#include "lua_cnn.h"

/* A count of bytes or elements at arg, at least `least`. */
static int64_t opt_count(lua_State *L, int arg, const char *name, int64_t least, int64_t fallback) {
    if (lua_isnil(L, arg)) return fallback;
    int whole = 0;
    int64_t count = lua_type(L, arg) == LUA_TNUMBER ? lua_tointegerx(L, arg, &whole) : 0;
    if (!whole || count < least)
        lcnn_fail(L, "frombuffer: '%s' must be a whole number from %I on, got %s", name, (LUAI_UACINT)least,
                  lcnn_describe(L, arg));
    return count;
}

/*** A tensor of one axis from the bytes of a string, as they lie in memory.
The bytes are copied; those of numbers are in the order of this machine. NumPy has the same function.
@function cnn.frombuffer
@tparam string buffer
@tparam[opt="float32"] string dtype of the elements
@tparam[opt=-1] int count of elements to take; -1: all to the end, which must be that of an element
@tparam[opt=0] int offset how many bytes to leave out at the beginning
@treturn tensor with one axis
@raise a string that is too short, or of no whole number of elements
@usage
x = cnn.frombuffer("\0\128\255\7", "uint8")
x:reshape{2, 2}
--> uint8 (2, 2)
--> [[  0 128]
-->  [255   7]]
cnn.frombuffer{x:tobytes(), "uint8", offset = 1, count = 2}
--> uint8 (2,)
--> [128 255]
cnn.frombuffer("abc", "int32")
--> error: frombuffer: 3 bytes are no whole number of int32 (4 bytes each)
*/
static int from_buffer(lua_State *L) {
    static const char *const names[] = {"buffer", "dtype", "count", "offset", NULL};
    lcnn_args(L, 1, "frombuffer", names);
    if (lua_type(L, 1) != LUA_TSTRING)
        lcnn_fail(L, "frombuffer: 'buffer' must be a string of bytes, got %s", lcnn_describe(L, 1));
    cnn_dtype dtype = lcnn_opt_dtype(L, 2, "frombuffer", CNN_FLOAT32);
    int64_t count = opt_count(L, 3, "count", -1, -1), offset = opt_count(L, 4, "offset", 0, 0);
    size_t length;
    const char *bytes = lua_tolstring(L, 1, &length);
    int64_t each = (int64_t)cnn_dtype_size(dtype), left = (int64_t)length - offset;
    if (left < 0)
        lcnn_fail(L, "frombuffer: 'offset' must be at most the string's length, %I, got %I",
                  (LUAI_UACINT)length, (LUAI_UACINT)offset);
    if (count < 0 && left % each != 0)
        lcnn_fail(L, "frombuffer: %I bytes are no whole number of %s (%I bytes each)", (LUAI_UACINT)left,
                  cnn_dtype_name(dtype), (LUAI_UACINT)each);
    if (count > left / each)
        lcnn_fail(L, "frombuffer: 'count' must be at most the %I %s in %I bytes, got %I",
                  (LUAI_UACINT)(left / each), cnn_dtype_name(dtype), (LUAI_UACINT)left, (LUAI_UACINT)count);
    if (count < 0) count = left / each;
    cnn_tensor *out = NULL;
    return lcnn_push_result(L, cnn_tensor_from(&out, dtype, 1, &count, bytes + offset), &out);
}

/*** The elements as a string of bytes, as they lie in memory: row by row, numbers in the order of this machine.
`cnn.frombuffer` is the way back. NumPy has the same method.
@function tensor:tobytes
@treturn string
@usage
cnn.tensor({72, 105}, "uint8"):tobytes() == "Hi"   --> true
#cnn.zeros{2, 3}:tobytes()                         --> 24
*/
static int to_bytes(lua_State *L) {
    const cnn_tensor *t = lcnn_check_eager(L, 1, "tobytes");
    lua_pushlstring(L, t->data, cnn_tensor_bytes(t));
    return 1;
}

int lcnn_open_buffer(lua_State *L) {
    lua_pushcfunction(L, from_buffer);
    lua_setfield(L, 1, "frombuffer");
    lcnn_push_methods(L);
    lua_pushcfunction(L, to_bytes);
    lua_setfield(L, -2, "tobytes");
    return 0;
}
