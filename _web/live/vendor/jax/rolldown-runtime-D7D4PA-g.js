var o=Object.defineProperty,l=(r,a)=>{let e={};for(var t in r)o(e,t,{get:r[t],enumerable:!0});return a||o(e,Symbol.toStringTag,{value:"Module"}),e};export{l as t};
